"""S3 requests signed as the AWS SDK for Java signs them for the nucleus."""

from __future__ import annotations

from typing import Any


def signed(url: str, method: str, captured: list[list[str]], credentials: dict[str, Any], region: str) -> dict[str, str]:
    """The captured headers with a signature of ours: payload unsigned, session token signed."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    class Unsigned(S3SigV4Auth):
        def payload(self, request: Any) -> str:
            return "UNSIGNED-PAYLOAD"

    fresh = {"authorization", "x-amz-date", "x-amz-security-token", "host", "connection", "x-amz-content-sha256"}
    headers = {name: value for name, value in captured if name.lower() not in fresh}
    request = AWSRequest(method=method, url=url, headers=headers)
    keys = Credentials(credentials["accessKeyId"], credentials["secretAccessKey"], credentials["sessionToken"])
    Unsigned(keys, "s3", region).add_auth(request)
    return dict(request.headers.items())
