"""Outages, take-overs, second connections and large messages."""

import json

from replay import Replay


def test_reconnect(own_cloud):
    """The broker is killed and keeps the session; loses it; another connection takes over."""
    replay = Replay(own_cloud, "java-reconnect")
    replay.after_launch = lambda: replay.settle(13)
    # After a lost session the gets come before the subscriptions, and are answered all the same.
    replay.answered_unsubscribed = True
    replay.run()


def test_messages_of_components(wire_cloud):
    """IoT Core messages, a second connection beyond 50 subscriptions, 460 UNSUBSCRIBEs for 46."""
    replay = Replay(wire_cloud, "java-iotcore-ipc")

    def in_progress():
        arn = json.loads(replay.event(1)["payload"]["state"]["desired"]["fleetConfig"])["configurationArn"]
        replay.report({"ggcVersion": "2.18.0", "fleetConfigurationArnForStatus": arn, "status": "IN_PROGRESS",
                       "statusDetails": {"failureCause": "", "errorTypes": [], "errorStack": []}},
                      33 + replay.offset)

    replay.before[2] = in_progress
    replay.passed_over.add(254)
    replay.before[254] = lambda: unsubscribe_again_and_again(replay)
    replay.run()


def unsubscribe_again_and_again(replay):
    """All that the capture's note leaves out, without waiting for answers in between."""
    filters = [event["filters"][0] for event in replay.events
               if event["kind"] == "unsubscribe" and event["filters"][0].startswith("wire/many/")]
    names = sorted(set(filters))
    connection = replay.main
    sent = [connection.send_unsubscribe(names[index % len(names)]) for index in range(460 - len(filters))]
    reasons = {code for identifier in sent for code in connection.unsuback(identifier)}
    assert reasons <= {0, 17}, reasons
    connection.ping()
