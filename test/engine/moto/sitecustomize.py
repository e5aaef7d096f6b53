"""Completes moto, which imports this when it starts: the binary media types of a
REST API, which it forgets; its policy, which AWS escapes; a value that is taken back, which it
takes for an error; and the resource that a request to DynamoDB or to Secrets Manager
is about, without which it would judge no policy that names one."""

import json

from moto.apigateway.models import Account, RestAPI
from moto.apigateway.responses import APIGatewayResponse
from moto.dynamodb.responses import DynamoHandler
from moto.secretsmanager.responses import SecretsManagerResponse


def asked(self, name, default):
    body = self.body
    if not isinstance(body, dict):
        body = json.loads(body) if body else {}
    return body.get(name, default)


create_rest_api = APIGatewayResponse.create_rest_api


def create_rest_api_with_types(self):
    status, headers, body = create_rest_api(self)
    types = asked(self, "binaryMediaTypes", None)
    if status != 200 or not types:
        return status, headers, body
    api = self.backend.apis[json.loads(body)["id"]]
    api.binaryMediaTypes = types
    return status, headers, json.dumps(api.to_dict())


api_to_dict = RestAPI.to_dict


def api_with_escaped_policy(self):
    api = api_to_dict(self)
    if api["policy"]:
        api["policy"] = json.dumps(api["policy"])[1:-1]
    return api


patch_account = Account.apply_patch_operations


def patch_account_back(self, operations):
    return patch_account(self, [{"value": None, **o} for o in operations])


def table(self):
    name = asked(self, "TableName", "*")
    if name == "*" or name.startswith("arn:"):
        return name
    return f"arn:aws:dynamodb:{self.region}:{self.current_account}:table/{name}"


def secret(self):
    name = asked(self, "SecretId", "*")
    if name == "*" or name.startswith("arn:"):
        return name
    return f"arn:aws:secretsmanager:{self.region}:{self.current_account}:secret:{name}"


APIGatewayResponse.create_rest_api = create_rest_api_with_types
RestAPI.to_dict = api_with_escaped_policy
Account.apply_patch_operations = patch_account_back
DynamoHandler._determine_resource = table
SecretsManagerResponse._determine_resource = secret
