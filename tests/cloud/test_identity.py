"""Who calls and what they may do: signatures, sessions, IAM."""

import datetime
import json
import urllib.error
import urllib.request

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

ONCE = Config(retries={"total_max_attempts": 1})


def code(error) -> str:
    return error.value.response["Error"]["Code"]


def status(error) -> int:
    return error.value.response["ResponseMetadata"]["HTTPStatusCode"]


def keys(aws_cloud) -> tuple[str, str]:
    found = aws_cloud.session().get_credentials()
    return found.access_key, found.secret_key


def client(aws_cloud, service, key, secret, token=None):
    return boto3.client(
        service, endpoint_url=aws_cloud.endpoints()["api"], region_name="us-east-1", config=ONCE,
        aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token)


def test_caller_identity(aws_cloud):
    answer = aws_cloud.aws("sts", "get-caller-identity")
    assert answer["Account"] == "123456789012"
    assert answer["Arn"] == "arn:aws:iam::123456789012:root"


CALLS = {
    "greengrassv2": lambda c: c.list_components(),
    "iot": lambda c: c.list_things(),
    "sts": lambda c: c.get_caller_identity(),
    "iam": lambda c: c.list_roles(),
    "s3": lambda c: c.list_buckets(),
}


@pytest.mark.parametrize(
    "service, unknown, mismatch",
    [
        ("greengrassv2", "UnrecognizedClientException", "InvalidSignatureException"),
        ("iot", "UnrecognizedClientException", "InvalidSignatureException"),
        ("sts", "InvalidClientTokenId", "SignatureDoesNotMatch"),
        ("iam", "InvalidClientTokenId", "SignatureDoesNotMatch"),
        ("s3", "InvalidAccessKeyId", "SignatureDoesNotMatch"),
    ],
)
def test_bad_signatures_have_the_codes_of_their_protocol(aws_cloud, service, unknown, mismatch):
    key, secret = keys(aws_cloud)
    CALLS[service](client(aws_cloud, service, key, secret))
    with pytest.raises(ClientError) as refused:
        CALLS[service](client(aws_cloud, service, "AKIAUNKNOWN", secret))
    assert (code(refused), status(refused)) == (unknown, 403)
    with pytest.raises(ClientError) as refused:
        CALLS[service](client(aws_cloud, service, key, "wrong"))
    assert (code(refused), status(refused)) == (mismatch, 403)
    with pytest.raises(ClientError) as refused:
        CALLS[service](client(aws_cloud, service, key, secret, "no-such-token"))
    assert status(refused) in (400, 403)


def send(request: AWSRequest) -> tuple[int, str]:
    prepared = request.prepare()
    plain = urllib.request.Request(prepared.url, prepared.body, dict(prepared.headers), method=prepared.method)
    try:
        with urllib.request.urlopen(plain) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("x-amzn-errortype", "")


def test_signatures_of_another_time_or_request_are_refused(aws_cloud, monkeypatch):
    key, secret = keys(aws_cloud)
    url = aws_cloud.endpoints()["api"] + "/things?maxResults=1"

    def signed() -> AWSRequest:
        request = AWSRequest("GET", url)
        SigV4Auth(Credentials(key, secret), "iot", "us-east-1").add_auth(request)
        return request

    assert send(signed())[0] == 200
    changed = signed()
    changed.url = url.replace("maxResults=1", "maxResults=2")
    assert send(changed) == (403, "InvalidSignatureException")
    assert send(AWSRequest("GET", url)) == (403, "MissingAuthenticationTokenException")

    import botocore.auth

    late = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *a, **k: late.replace(tzinfo=None))
    assert send(signed()) == (403, "InvalidSignatureException")


def test_role_sessions_may_what_their_role_may(aws_cloud, bucket):
    iam, sts = aws_cloud.client("iam"), aws_cloud.client("sts")
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole"}]}
    role = iam.create_role(RoleName="Reader", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    assert iam.get_role(RoleName="Reader")["Role"]["AssumeRolePolicyDocument"] == trust
    session = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="session")["Credentials"]
    made = (session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])
    arn = client(aws_cloud, "sts", *made).get_caller_identity()["Arn"]
    assert arn == "arn:aws:sts::123456789012:assumed-role/Reader/session"

    aws_cloud.client("s3").put_object(Bucket=bucket, Key="k", Body=b"x")
    s3 = client(aws_cloud, "s3", *made)
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key="k")
    assert code(refused) == "AccessDenied" and "s3:GetObject" in str(refused.value)
    document = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}]}
    policy = iam.create_policy(PolicyName="Read", PolicyDocument=json.dumps(document))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="Reader", PolicyArn=policy)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="k", Body=b"y")
    assert code(refused) == "AccessDenied"
    with pytest.raises(ClientError) as refused:
        client(aws_cloud, "greengrassv2", *made).list_components()
    assert code(refused) == "AccessDeniedException"
    with pytest.raises(ClientError) as refused:
        client(aws_cloud, "s3", made[0], made[1]).list_buckets()
    assert code(refused) == "InvalidAccessKeyId"

    with pytest.raises(ClientError) as refused:
        iam.delete_role(RoleName="Reader")
    assert code(refused) == "DeleteConflict"
    iam.detach_role_policy(RoleName="Reader", PolicyArn=policy)
    iam.delete_policy(PolicyArn=policy)
    iam.delete_role(RoleName="Reader")
    with pytest.raises(ClientError) as refused:
        iam.get_role(RoleName="Reader")
    assert (code(refused), status(refused)) == ("NoSuchEntity", 404)
    with pytest.raises(ClientError):
        s3.get_object(Bucket=bucket, Key="k")


def test_health_and_metrics_need_no_signature(aws_cloud):
    api = aws_cloud.endpoints()["api"]
    with urllib.request.urlopen(api + "/healthz") as answer:
        assert answer.status == 200
    with urllib.request.urlopen(api + "/metrics") as answer:
        assert "sward_api_requests_total" in answer.read().decode()


def test_mutating_calls_are_audited(aws_cloud):
    aws_cloud.client("iot").create_thing(thingName="audited")
    lines = [json.loads(line) for line in (aws_cloud.data / "audit.jsonl").read_text().splitlines()]
    entry = next(line for line in lines if "CreateThing" in line["operation"] and "audited" in line["operation"])
    assert entry["status"] == 200 and entry["caller"].endswith(":root")


def test_a_session_that_may_publish_may_not_retain_by_that(aws_cloud):
    """`iot:RetainPublish` is asked beside `iot:Publish`, and roles named in a trust mean their sessions."""
    iam, sts = aws_cloud.client("iam"), aws_cloud.client("sts")

    def role(name, trusted):
        trust = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": trusted}, "Action": "sts:AssumeRole"}]}
        return iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]

    def allow(name, *actions):
        document = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}
        arn = iam.create_policy(PolicyName=f"{name}-{len(actions)}", PolicyDocument=json.dumps(document))
        iam.attach_role_policy(RoleName=name, PolicyArn=arn["Policy"]["Arn"])

    def session(client_of_sts, arn):
        made = client_of_sts.assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
        return made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"]

    first = role("First", "123456789012")
    second = role("Second", first)
    allow("First", "sts:AssumeRole")
    by_first = client(aws_cloud, "sts", *session(sts, first))
    publisher = client(aws_cloud, "iot-data", *session(by_first, second))
    with pytest.raises(ClientError) as refused:
        publisher.publish(topic="t", payload=b"x")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    allow("Second", "iot:Publish")
    publisher.publish(topic="t", payload=b"x")
    with pytest.raises(ClientError) as refused:
        publisher.publish(topic="t", payload=b"x", retain=True)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert "iot:RetainPublish" in str(refused.value)
    allow("Second", "iot:Publish", "iot:RetainPublish")
    publisher.publish(topic="t", payload=b"x", retain=True)
