"""The webhook fields that Meta is known to send, and where what they say is found.

For the documentation: what decides how a value is read is what it holds (`events`). A field that is
not listed here is kept like those of the account. Source: Meta, "Webhooks reference" and the list of
fields in the App Dashboard (2026-07).
"""

from collections.abc import Mapping
from typing import Final

_MESSAGES: Final = "messages of the conversation"
_FACT: Final = "account event"

FIELDS: Final[Mapping[str, str]] = {
    "messages": f"{_MESSAGES} and their statuses; `errors` beside them as an {_FACT}",
    "message_echoes": f"{_MESSAGES}, outbound",
    "smb_message_echoes": f"{_MESSAGES}, outbound; media 15 minutes old count as history",
    "standby": f"{_MESSAGES} that another app answers",
    "history": f"{_MESSAGES} from before the connection; progress on the instance (`history`)",
    "smb_app_state_sync": "names of leads, as the business saved them",
    "user_id_update": f"the lead keeps both user ids; each as an {_FACT}",
    "user_preferences": f"each as an {_FACT}",
    "calls": f"{_MESSAGES} of type `call`; statuses of calls on them",
    "account_update": f"{_FACT}; `connection` of the instance",
    **dict.fromkeys(
        (
            "account_alerts",
            "account_review_update",
            "account_settings_update",
            "automatic_events",
            "business_capability_update",
            "business_status_update",
            "business_username_updates",
            "consumer_profile",
            "flows",
            "group_lifecycle_update",
            "group_participants_update",
            "group_settings_update",
            "group_status_update",
            "message_template_components_update",
            "message_template_quality_update",
            "message_template_status_update",
            "messaging_handovers",
            "partner_solutions",
            "payment_configuration_update",
            "phone_number_name_update",
            "phone_number_quality_update",
            "security",
            "template_category_update",
            "template_correct_category_detection",
            "tracking_events",
        ),
        _FACT,
    ),
}

# What stands in `statuses[]`, whatever the field.
STATUSES: Final[Mapping[str, str]] = {
    "sent": "`status` and `timeline.sentAt` of the message",
    "delivered": "`status` and `timeline.deliveredAt`",
    "read": "`status` and `timeline.readAt`",
    "played": "`status` and `timeline.playedAt`",
    "failed": "`status`, `timeline.failedAt`, `errors` verbatim",
    "payment": "`billing.payments`, the last in `billing.payment`; `billing.states`, as of unknown statuses",
}
