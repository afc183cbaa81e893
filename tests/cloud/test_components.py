"""Components through the AWS CLI: recipes, digests, refusals."""

import base64
import hashlib
import json

import pytest
from botocore.exceptions import ClientError


def recipe(name: str, version: str = "1.0.0", uri: str | None = None) -> dict:
    manifest = {"Platform": {"os": "linux"}, "Lifecycle": {"run": "echo hello"}}
    if uri:
        manifest["Artifacts"] = [{"URI": uri}]
    return {
        "RecipeFormatVersion": "2020-01-25", "ComponentName": name, "ComponentVersion": version,
        "ComponentDescription": "says hello", "ComponentPublisher": "us", "Manifests": [manifest],
    }


YAML = """---
RecipeFormatVersion: '2020-01-25'
ComponentName: com.example.Yaml
ComponentVersion: '1.2.3'
Manifests:
  - Platform: {os: linux}
    Lifecycle: {run: echo hello}
"""


def create(aws_cloud, tmp_path, text: str) -> dict:
    file = tmp_path / "recipe"
    file.write_text(text)
    return aws_cloud.aws("greengrassv2", "create-component-version", "--inline-recipe", f"fileb://{file}")


def refused(aws_cloud, tmp_path, code: str, text: str) -> str:
    file = tmp_path / "recipe"
    file.write_text(text)
    return aws_cloud.aws_refused(
        code, "greengrassv2", "create-component-version", "--inline-recipe", f"fileb://{file}")


def test_json_component_with_artifact_gets_digests(aws_cloud, bucket, tmp_path):
    body = b"print('hello')\n"
    aws_cloud.client("s3").put_object(Bucket=bucket, Key="hello.py", Body=body)
    uri = f"s3://{bucket}/hello.py"
    answer = create(aws_cloud, tmp_path, json.dumps(recipe("com.example.Json", uri=uri)))
    arn = "arn:aws:greengrass:us-east-1:123456789012:components:com.example.Json:versions:1.0.0"
    assert answer["arn"] == arn
    assert answer["status"]["componentState"] == "REQUESTED"
    described = aws_cloud.aws("greengrassv2", "describe-component", "--arn", arn)
    assert described["status"]["componentState"] == "DEPLOYABLE"
    assert described["publisher"] == "us" and described["description"] == "says hello"
    got = aws_cloud.aws("greengrassv2", "get-component", "--arn", arn, "--recipe-output-format", "JSON")
    artifact = json.loads(base64.b64decode(got["recipe"]))["Manifests"][0]["Artifacts"][0]
    keys = {key.lower(): value for key, value in artifact.items()}
    assert keys["digest"] == base64.b64encode(hashlib.sha256(body).digest()).decode()
    assert keys["algorithm"] == "SHA-256"


def test_yaml_component_and_lists(aws_cloud, tmp_path):
    create(aws_cloud, tmp_path, YAML)
    create(aws_cloud, tmp_path, YAML.replace("1.2.3", "1.10.0"))
    rows = aws_cloud.aws("greengrassv2", "list-components")["components"]
    row = next(row for row in rows if row["componentName"] == "com.example.Yaml")
    assert row["latestVersion"]["componentVersion"] == "1.10.0"
    versions = aws_cloud.aws("greengrassv2", "list-component-versions", "--arn", row["arn"])
    assert [v["componentVersion"] for v in versions["componentVersions"]] == ["1.10.0", "1.2.3"]
    unknown = row["arn"].replace("Yaml", "Unknown")
    assert aws_cloud.aws("greengrassv2", "list-component-versions", "--arn", unknown)["componentVersions"] == []


def test_bad_input_says_why(aws_cloud, bucket, tmp_path):
    text = json.dumps(recipe("com.example.Twice"))
    create(aws_cloud, tmp_path, text)
    refused(aws_cloud, tmp_path, "ConflictException", text)
    message = refused(aws_cloud, tmp_path, "ValidationException", text.replace('"1.0.0"', '"one"'))
    assert "ComponentVersion" in message
    refused(aws_cloud, tmp_path, "ValidationException", "{")
    uri = f"s3://{bucket}/missing.py"
    message = refused(
        aws_cloud, tmp_path, "ValidationException", json.dumps(recipe("com.example.Missing", uri=uri)))
    assert uri in message and "cannot be accessed" in message
    arn = "arn:aws:greengrass:us-east-1:123456789012:components:com.example.None:versions:1.0.0"
    aws_cloud.aws_refused("ResourceNotFoundException", "greengrassv2", "get-component", "--arn", arn)
    with pytest.raises(ClientError) as error:
        aws_cloud.client("greengrassv2").describe_component(arn=arn)
    assert error.value.response["resourceId"]


def test_components_survive_a_kill(aws_cloud, tmp_path):
    create(aws_cloud, tmp_path, json.dumps(recipe("com.example.Kept")))
    aws_cloud.kill()
    aws_cloud.start()
    rows = aws_cloud.aws("greengrassv2", "list-components")["components"]
    assert "com.example.Kept" in [row["componentName"] for row in rows]
