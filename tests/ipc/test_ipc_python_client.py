"""AWS's IoT Device SDK for Python, unmodified, against the IPC server."""

import datetime
import queue

import pytest
from awsiot.eventstreamrpc import AccessDeniedError
from awsiot.greengrasscoreipc import model

from memory_nucleus import FRIEND, STREAM_MANAGER, STRANGER

WAIT = 10


class Inbox:
    """Collects the events of one stream."""

    def __init__(self):
        self.events: queue.Queue = queue.Queue()
        self.errors: queue.Queue = queue.Queue()
        self.closed: queue.Queue = queue.Queue()

    def handlers(self) -> dict:
        def on_error(error):
            self.errors.put(error)
            return True
        return {"on_stream_event": self.events.put, "on_stream_error": on_error,
                "on_stream_closed": lambda: self.closed.put(True)}

    def next(self):
        return self.events.get(timeout=WAIT)

    def nothing_more(self) -> None:
        assert self.errors.empty()
        with pytest.raises(queue.Empty):
            self.events.get(timeout=0.2)


def binary(payload: bytes) -> model.PublishMessage:
    return model.PublishMessage(binary_message=model.BinaryMessage(message=payload))


def json_message(payload: dict) -> model.PublishMessage:
    return model.PublishMessage(json_message=model.JsonMessage(message=payload))


def test_a_wrong_token_is_refused(nucleus):
    with pytest.raises(AccessDeniedError):
        nucleus.connect("ABCDEFGHIJKLMNOP")


def test_local_messages_of_both_forms_with_their_topic(nucleus, friend):
    inbox = Inbox()
    response, operation = friend.subscribe_to_topic(topic="py/+", receive_mode="RECEIVE_ALL_MESSAGES",
                                                    **inbox.handlers())
    assert isinstance(response, model.SubscribeToTopicResponse)
    publisher = nucleus.client(FRIEND)
    publisher.publish_to_topic(topic="py/a", publish_message=binary(b"\x00\xffhi"))
    publisher.publish_to_topic(topic="py/ü", publish_message=json_message({"k": 1, "l": [1.0, None], "ü": "\n\"\\"}))
    first, second = inbox.next(), inbox.next()
    assert first.binary_message.message == b"\x00\xffhi"
    assert first.binary_message.context.topic == "py/a"
    assert first.json_message is None
    assert second.json_message.message == {"k": 1, "l": [1.0, None], "ü": "\n\"\\"}
    assert second.json_message.context.topic == "py/ü"
    operation.close().result(timeout=WAIT)
    assert inbox.closed.get(timeout=WAIT)
    publisher.publish_to_topic(topic="py/a", publish_message=binary(b"late"))
    inbox.nothing_more()


def test_messages_keep_their_order_and_all_of_them_come(nucleus, friend):
    inbox = Inbox()
    _, operation = friend.subscribe_to_topic(topic="py/order", **inbox.handlers())
    publisher = nucleus.client(FRIEND)
    sent = [publisher.publish_to_topic_async(topic="py/order", publish_message=binary(str(n).encode()))
            for n in range(1000)]
    assert [inbox.next().binary_message.message for _ in range(1000)] == [str(n).encode() for n in range(1000)]
    for future in sent:
        future.result(timeout=WAIT)
    operation.close()


def test_the_own_component_is_not_heard_through_a_wildcard_unless_asked_for(nucleus, friend):
    quiet, loud = Inbox(), Inbox()
    _, one = friend.subscribe_to_topic(topic="py/own/#", **quiet.handlers())
    _, two = friend.subscribe_to_topic(topic="py/own/x", **loud.handlers())
    nucleus.client(FRIEND).publish_to_topic(topic="py/own/x", publish_message=binary(b"me"))
    assert loud.next().binary_message.message == b"me"
    quiet.nothing_more()
    one.close()
    two.close()


def test_without_a_policy_a_component_may_not_publish_or_subscribe(stranger):
    with pytest.raises(model.UnauthorizedError) as refused:
        stranger.publish_to_topic(topic="py/a", publish_message=binary(b"x"))
    assert STRANGER in refused.value.message
    with pytest.raises(model.UnauthorizedError):
        stranger.subscribe_to_topic(topic="py/a", **Inbox().handlers())
    with pytest.raises(model.UnauthorizedError):
        stranger.publish_to_iot_core(topic_name="allowed/a", qos="0", payload=b"x")
    with pytest.raises(model.UnauthorizedError):
        stranger.list_components()


@pytest.mark.parametrize("topic", ["a/+", "a/#", "a*"])
def test_publishing_to_a_wildcard_is_an_invalid_argument(friend, topic):
    with pytest.raises(model.InvalidArgumentsError):
        friend.publish_to_topic(topic=topic, publish_message=binary(b"x"))


def test_a_request_without_a_message_is_an_error_and_the_connection_goes_on(friend):
    with pytest.raises(model.InvalidArgumentsError):
        friend.publish_to_topic(topic="py/a", publish_message=model.PublishMessage())
    friend.publish_to_topic(topic="py/a", publish_message=binary(b"x"))


def test_large_messages_pass(nucleus, friend):
    inbox = Inbox()
    _, operation = friend.subscribe_to_topic(topic="py/large", **inbox.handlers())
    payload = bytes(range(256)) * 4096
    nucleus.client(FRIEND).publish_to_topic(topic="py/large", publish_message=binary(payload))
    assert inbox.next().binary_message.message == payload
    operation.close()


def test_configuration_is_read_as_the_nucleus_answers(friend, stranger):
    response = friend.get_configuration(key_path=["nested", "integer"])
    assert (response.component_name, response.value) == (FRIEND, {"integer": 1})
    assert isinstance(response.value["integer"], int)
    assert friend.get_configuration(key_path=["nested"]).value == {
        "integer": 1, "double": 1.0, "list": [1, None, {"a": "b"}]}
    assert friend.get_configuration(key_path=[]).value["greeting"] == "hello"
    # No policy is needed to read another component's.
    assert stranger.get_configuration(component_name=FRIEND, key_path=["GREETING"]).value == {"GREETING": "hello"}
    for component, path in [(FRIEND, ["nothing"]), ("com.example.None", [])]:
        with pytest.raises(model.ResourceNotFoundError):
            friend.get_configuration(component_name=component, key_path=path)


def test_a_component_updates_its_own_configuration_and_hears_of_it(stranger):
    inbox = Inbox()
    _, operation = stranger.subscribe_to_configuration_update(component_name=STRANGER, key_path=[],
                                                              **inbox.handlers())
    now = datetime.datetime.now(datetime.timezone.utc)
    stranger.update_configuration(key_path=["deep", "er"], timestamp=now, value_to_merge={"k": 1.5})
    event = inbox.next().configuration_update_event
    assert (event.component_name, event.key_path) == (STRANGER, ["deep", "er", "k"])
    assert stranger.get_configuration(key_path=["deep", "er"]).value == {"k": 1.5}
    with pytest.raises(model.FailedUpdateConditionCheckError):
        stranger.update_configuration(key_path=["deep"], timestamp=now - datetime.timedelta(hours=1),
                                      value_to_merge={"k": 2})
    with pytest.raises(model.InvalidArgumentsError):
        stranger.update_configuration(key_path=["accessControl"], timestamp=now, value_to_merge={})
    with pytest.raises(model.ResourceNotFoundError):
        stranger.subscribe_to_configuration_update(component_name=STRANGER, key_path=["nothing"],
                                                   **Inbox().handlers())
    operation.close()


def test_a_component_reports_its_state(nucleus, friend):
    friend.update_state(state="RUNNING")
    details = friend.get_component_details(component_name=FRIEND).component_details
    assert (details.component_name, details.version, details.state) == (FRIEND, "1.0.0", "RUNNING")
    friend.update_state(state="ERRORED")
    states = {c.component_name: c.state for c in friend.list_components().components}
    assert states[FRIEND] == "ERRORED"


def test_messages_to_and_from_iot_core(friend):
    inbox = Inbox()
    response, operation = friend.subscribe_to_iot_core(topic_name="allowed/+", qos="1", **inbox.handlers())
    assert isinstance(response, model.SubscribeToIoTCoreResponse)
    friend.publish_to_iot_core(topic_name="allowed/x", qos="1", payload=b"\x00hi", retain=False,
                               user_properties=[model.UserProperty(key="a", value="b")],
                               message_expiry_interval_seconds=60, correlation_data=b"c", response_topic="r",
                               payload_format="1", content_type="text/plain")
    message = inbox.next().message
    assert (message.topic_name, message.payload) == ("allowed/x", b"\x00hi")
    assert (message.user_properties[0].key, message.payload_format) == ("a", "1")
    friend.publish_to_iot_core(topic_name="allowed/y", qos="0", payload=b"")
    assert inbox.next().message.payload_format == "0"
    with pytest.raises(model.UnauthorizedError):
        friend.publish_to_iot_core(topic_name="other", qos="0", payload=b"x")
    with pytest.raises(model.ServiceError):
        friend.subscribe_to_iot_core(topic_name="refused/topic", qos="0", **Inbox().handlers())
    operation.close()


def test_updates_are_announced_deferred_and_validated(nucleus, friend):
    notices, questions = Inbox(), Inbox()
    _, one = friend.subscribe_to_component_updates(**notices.handlers())
    _, two = friend.subscribe_to_validate_configuration_updates(**questions.handlers())
    created = friend.create_local_deployment(component_to_configuration={FRIEND: {"MERGE": {"a": 1}}})
    notice = notices.next().pre_update_event
    assert (notice.deployment_id, notice.is_ggc_restarting) == (created.deployment_id, False)
    friend.defer_component_update(deployment_id=notice.deployment_id, message="busy", recheck_after_ms=5000)
    friend.defer_component_update(deployment_id=notice.deployment_id, recheck_after_ms=0)
    assert notices.next().post_update_event.deployment_id == created.deployment_id
    question = questions.next().validate_configuration_update_event
    assert question.configuration == {"a": 1}
    friend.send_configuration_validity_report(configuration_validity_report=model.ConfigurationValidityReport(
        status="REJECTED", deployment_id=question.deployment_id, message="no"))
    status = friend.get_local_deployment_status(deployment_id=created.deployment_id).deployment
    assert status.deployment_status_details.deployment_failure_cause == "no"
    with pytest.raises(model.InvalidArgumentsError):
        friend.send_configuration_validity_report(configuration_validity_report=model.ConfigurationValidityReport(
            status="ACCEPTED", deployment_id="another"))
    with pytest.raises(model.InvalidArgumentsError):
        friend.defer_component_update(message="no id")
    one.close()
    two.close()


def test_local_deployments(friend):
    created = friend.create_local_deployment(
        root_component_versions_to_add={"c": "1.0.0"},
        component_to_run_with_info={"c": model.RunWithInfo(
            posix_user="u:g", system_resource_limits=model.SystemResourceLimits(memory=1024, cpus=0.5))},
        failure_handling_policy="DO_NOTHING")
    assert friend.get_local_deployment_status(deployment_id=created.deployment_id).deployment.status == "SUCCEEDED"
    listed = [d.deployment_id for d in friend.list_local_deployments().local_deployments]
    assert created.deployment_id in listed
    with pytest.raises(model.InvalidArgumentsError):
        friend.get_local_deployment_status(deployment_id="not-a-uuid")
    with pytest.raises(model.ResourceNotFoundError) as missing:
        friend.get_local_deployment_status(deployment_id="0b7b5ee2-7d0a-4e0b-9d6c-0d0a2f0c7a11")
    assert missing.value.resource_type == "LocalDeployment"
    # Only the CLI itself may cancel.
    with pytest.raises(model.UnauthorizedError):
        friend.cancel_local_deployment(deployment_id=created.deployment_id)


def test_only_stream_manager_checks_tokens(nucleus, friend):
    manager = nucleus.client(STREAM_MANAGER)
    assert manager.validate_authorization_token(token=nucleus.tokens[FRIEND]).is_valid is True
    with pytest.raises(model.InvalidTokenError):
        manager.validate_authorization_token(token="ABCDEFGHIJKLMNOP")
    with pytest.raises(model.UnauthorizedError):
        friend.validate_authorization_token(token=nucleus.tokens[FRIEND])


def test_what_is_not_offered_is_a_service_error_and_the_connection_goes_on(friend):
    for call in (lambda: friend.get_secret_value(secret_id="s"),
                 lambda: friend.get_thing_shadow(thing_name="T", shadow_name="s"),
                 lambda: friend.put_component_metric(metrics=[model.Metric(name="n", unit="COUNT", value=1.0)])):
        with pytest.raises(model.ServiceError) as refused:
            call()
        assert "not supported" in refused.value.message
    friend.publish_to_topic(topic="py/a", publish_message=binary(b"x"))


def test_many_connections_of_one_component(nucleus):
    inboxes = []
    for _ in range(20):
        inbox = Inbox()
        nucleus.client(FRIEND).subscribe_to_topic(topic="py/many", **inbox.handlers())
        inboxes.append(inbox)
    nucleus.client(FRIEND).publish_to_topic(topic="py/many", publish_message=binary(b"x"))
    for inbox in inboxes:
        assert inbox.next().binary_message.message == b"x"
