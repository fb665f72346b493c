"""/instances: the connected numbers."""

import msgspec

from gateway import render, shapes
from gateway.leads import Paging
from gateway.operations import Call
from protos import capture_pb2


class NewInstance(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A number to connect: ids as Meta gives them."""

    waba_id: str
    phone_number_id: str
    display_phone_number: str
    name: str = ""


def list_instances(call: Call) -> shapes.Instances:
    found = call.capture("ListInstances", capture_pb2.ListInstancesRequest())
    return shapes.Instances(
        [render.instance(row) for row in found.instances], render.pagination("", len(found.instances))
    )


def create_instance(call: Call, body: NewInstance) -> shapes.Instance:
    """Register a number. Doing it again describes it anew; without a name the old one stays."""
    request = capture_pb2.CreateInstanceRequest(
        waba_id=body.waba_id,
        phone_number_id=body.phone_number_id,
        display_phone_number=body.display_phone_number,
        name=body.name,
    )
    return render.instance(call.capture("CreateInstance", request))


def list_events(call: Call, instance_id: str, query: Paging) -> shapes.AccountEvents:
    """Facts about the account of an instance, newest first."""
    request = capture_pb2.ListAccountEventsRequest(
        instance_id=instance_id, page_size=query.limit, page_token=query.cursor
    )
    page = call.capture("ListAccountEvents", request)
    return shapes.AccountEvents(
        [render.account_event(found) for found in page.events],
        render.pagination(page.next_page_token, page.total_size),
    )
