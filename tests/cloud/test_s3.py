"""Buckets and objects through the AWS CLI and boto3."""

import hashlib
import http.client
import io
import os
import re
import time
import urllib.error
import urllib.request

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError


def code(error) -> str:
    return error.value.response["Error"]["Code"]


def test_cli_makes_copies_lists_and_removes(aws_cloud, tmp_path):
    aws = aws_cloud.aws
    aws("s3", "mb", "s3://cli-bucket")
    source = tmp_path / "hello.py"
    source.write_text("print('hello')\n")
    aws("s3", "cp", source, "s3://cli-bucket/dir/hello.py")
    assert "hello.py" in aws("s3", "ls", "s3://cli-bucket/dir/")
    assert "PRE dir/" in aws("s3", "ls", "s3://cli-bucket")
    assert "cli-bucket" in aws("s3", "ls")
    back = tmp_path / "back.py"
    aws("s3", "cp", "s3://cli-bucket/dir/hello.py", back)
    assert back.read_text() == source.read_text()
    aws_cloud.aws_refused("BucketNotEmpty", "s3api", "delete-bucket", "--bucket", "cli-bucket")
    aws("s3", "rb", "--force", "s3://cli-bucket")
    aws_cloud.aws_refused("404", "s3api", "head-bucket", "--bucket", "cli-bucket")


@pytest.mark.parametrize("form", ["cli", "s3v4"])
def test_presigned_url_needs_no_credentials_and_expires(aws_cloud, bucket, form):
    """The CLI and boto3 still make URLs of the form before version 4 in us-east-1."""
    key = "a b/ü.txt"
    aws_cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=b"0123456789")

    def url(seconds: int) -> str:
        if form == "cli":
            return aws_cloud.aws("s3", "presign", f"s3://{bucket}/{key}", "--expires-in", str(seconds)).strip()
        s3 = aws_cloud.client("s3", config=Config(signature_version="s3v4"))
        return s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds)

    good = url(60)
    with urllib.request.urlopen(good) as answer:
        assert answer.read() == b"0123456789"
    request = urllib.request.Request(good, headers={"Range": "bytes=2-4"})
    with urllib.request.urlopen(request) as answer:
        assert (answer.status, answer.read()) == (206, b"234")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(re.sub(r"Expires=(\d+)", r"Expires=1\1", good))
    assert refused.value.code in (400, 403)
    short = url(1)
    time.sleep(2.5)  # the client's clock is the subject
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(short)
    assert refused.value.code == 403 and b"AccessDenied" in refused.value.read()


def test_objects_keep_bytes_and_headers(aws_cloud, bucket):
    s3 = aws_cloud.client("s3")
    put = s3.put_object(
        Bucket=bucket, Key="k", Body=b"body", ContentType="text/plain", Metadata={"colour": "green"},
        Tagging="a=1",
    )
    assert put["ETag"] == f'"{hashlib.md5(b"body").hexdigest()}"'
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head["ContentLength"] == 4 and head["ContentType"] == "text/plain"
    assert head["Metadata"] == {"colour": "green"}
    assert head["ChecksumCRC32"] or head["ChecksumCRC64NVME"]
    assert s3.get_object(Bucket=bucket, Key="k", Range="bytes=-2")["Body"].read() == b"dy"
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "a", "Value": "1"}]
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "x", "Value": "y"}]})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "x", "Value": "y"}]
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key="none")
    assert code(refused) == "NoSuchKey"
    with pytest.raises(ClientError) as refused:
        s3.head_object(Bucket=bucket, Key="none")
    assert code(refused) == "404"
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="k", Body=b"", IfNoneMatch="*")
    assert code(refused) == "PreconditionFailed"


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_checksums_in_headers_and_trailers(aws_cloud, bucket, algorithm):
    s3 = aws_cloud.client("s3")
    body = os.urandom(200_000)
    s3.put_object(Bucket=bucket, Key="header", Body=body, ChecksumAlgorithm=algorithm)

    class Stream(io.RawIOBase):
        """Not seekable for botocore, so the checksum comes in a trailer."""

        def __init__(self):
            self.inner = io.BytesIO(body)

        def readable(self):
            return True

        def read(self, size=-1):
            return self.inner.read(size)

        def __len__(self):
            return len(body)

        def seek(self, *where):
            return self.inner.seek(*where)

        def tell(self):
            return self.inner.tell()

    s3.put_object(Bucket=bucket, Key="trailer", Body=Stream(), ChecksumAlgorithm=algorithm)
    for key in ("header", "trailer"):
        answer = s3.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        assert answer["Body"].read() == body
        assert answer[f"Checksum{algorithm}"]


def test_large_uploads_go_in_parts(aws_cloud, bucket, tmp_path):
    big = tmp_path / "big"
    big.write_bytes(os.urandom(20 * 1024 * 1024))
    aws_cloud.aws("s3", "cp", big, f"s3://{bucket}/big")
    head = aws_cloud.client("s3").head_object(Bucket=bucket, Key="big")
    assert head["ContentLength"] == big.stat().st_size and head["ETag"].endswith('-3"')
    back = tmp_path / "back"
    aws_cloud.aws("s3", "cp", f"s3://{bucket}/big", back)
    assert hashlib.sha256(back.read_bytes()).digest() == hashlib.sha256(big.read_bytes()).digest()
    assert "Uploads" not in aws_cloud.client("s3").list_multipart_uploads(Bucket=bucket)


def test_listings_in_pages(aws_cloud, bucket):
    s3 = aws_cloud.client("s3")
    keys = sorted(f"{letter}/{number} ü+%.txt" for letter in "abc" for number in range(5)) + ["z"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    for operation in ("list_objects_v2", "list_objects"):
        pages = s3.get_paginator(operation).paginate(Bucket=bucket, PaginationConfig={"PageSize": 4})
        assert [row["Key"] for page in pages for row in page.get("Contents", [])] == keys
        pages = s3.get_paginator(operation).paginate(
            Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 2})
        found = [row["Prefix"] for page in pages for row in page.get("CommonPrefixes", [])]
        assert found == ["a/", "b/", "c/"]
    deleted = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert len(deleted["Deleted"]) == len(keys)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_buckets_in_host_names(aws_cloud, bucket):
    """botocore puts the bucket in front of any host that is not an address. The resolver of this
    machine need not know names below localhost, so the connection is made by hand."""
    port = int(aws_cloud.endpoints()["api"].rsplit(":", 1)[1])
    credentials = aws_cloud.session().get_credentials()

    def send(method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        request = AWSRequest(method, f"http://{bucket}.localhost:{port}{path}", data=body)
        S3SigV4Auth(credentials, "s3", "us-east-1").add_auth(request)
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request(
            method, path, body, dict(request.headers) | {"Host": f"{bucket}.localhost:{port}"})
        answer = connection.getresponse()
        return answer.status, answer.read()

    assert send("PUT", "/dir/k%20k", b"x") == (200, b"")
    assert send("GET", "/dir/k%20k") == (200, b"x")
    assert b"<Key>dir/k k</Key>" in send("GET", "/")[1]
    assert aws_cloud.client("s3").get_object(Bucket=bucket, Key="dir/k k")["Body"].read() == b"x"


def test_wrong_bytes_are_refused(aws_cloud, bucket):
    s3 = aws_cloud.client("s3")
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="k", Body=b"body", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg==")
    assert code(refused) == "BadDigest"
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="k", Body=b"body", ChecksumCRC32="AAAAAA==")
    assert code(refused) == "XAmzContentChecksumMismatch"
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
