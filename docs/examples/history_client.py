"""Print a lead's history over gRPC: RECADO_TOKEN=... python history_client.py HOST:PORT LEAD_ID"""

import os
import sys

import grpc

from protos import history_pb2, history_pb2_grpc

address, lead_id = sys.argv[1:]
metadata = [("authorization", f"Bearer {os.environ['RECADO_TOKEN']}")]

with grpc.insecure_channel(address) as channel:
    history = history_pb2_grpc.HistoryServiceStub(channel)
    request = history_pb2.ListMessagesRequest(lead_id=lead_id, page_size=100)
    while True:
        page = history.ListMessages(request, metadata=metadata, timeout=5)
        for message in page.messages:
            arrow = "<-" if message.direction == history_pb2.INBOUND else "->"
            print(
                message.sent_at.ToJsonString(),
                arrow,
                message.body or f"[{message.type or 'not told yet'}]",
                sep="  ",
            )
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
