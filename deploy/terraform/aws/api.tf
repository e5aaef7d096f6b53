# The Hot Reader API: a regional REST API before the function hot-reader-api.
# The function checks the token; the gateway bounds the rate.

locals {
  has_api  = contains(keys(var.functions), "hot-reader-api")
  api_name = local.has_api ? var.functions["hot-reader-api"].name : ""
  one_api  = toset(local.has_api ? ["api"] : [])

  # Every body goes to the function and to the client as it is. With fewer types
  # a client whose Accept names none of them would be sent base64.
  binary_types = ["*/*"]

  # Route -> its resource, its method, and whether an API key is asked for.
  routes = local.has_api ? {
    "POST /read"                   = { resource = aws_api_gateway_resource.root["read"].id, method = "POST", key = false }
    "GET /healthz"                 = { resource = aws_api_gateway_resource.root["healthz"].id, method = "GET", key = false }
    "GET /openapi.json"            = { resource = aws_api_gateway_resource.root["openapi.json"].id, method = "GET", key = false }
    "GET /v1/devices/{id}/history" = { resource = aws_api_gateway_resource.device["history"].id, method = "GET", key = var.api_key }
    "GET /v1/devices/{id}/latest"  = { resource = aws_api_gateway_resource.device["latest"].id, method = "GET", key = var.api_key }
  } : {}

  # What the gateway answers by itself, in the API's own words (RFC 9457).
  gateway_answers = local.has_api ? {
    ACCESS_DENIED                = { status = 403, code = "forbidden", detail = "This is not allowed." }
    DEFAULT_4XX                  = { status = null, code = "invalid", detail = "The request cannot be served." }
    DEFAULT_5XX                  = { status = null, code = "internal", detail = "The request failed; the log has the cause under its trace_id." }
    INTEGRATION_FAILURE          = { status = 502, code = "unavailable", detail = "The API's function failed." }
    INTEGRATION_TIMEOUT          = { status = 504, code = "deadline", detail = "The API's function gave no answer in time." }
    INVALID_API_KEY              = { status = 403, code = "forbidden", detail = "This route needs an API key, in x-api-key." }
    MISSING_AUTHENTICATION_TOKEN = { status = 404, code = "not_found", detail = "There is no such route." }
    QUOTA_EXCEEDED               = { status = 429, code = "throttled", detail = "Too many requests; try again later." }
    REQUEST_TOO_LARGE            = { status = 413, code = "too_large", detail = "The request is too large." }
    WAF_FILTERED                 = { status = 403, code = "forbidden", detail = "This has no token, or comes from an address that asks too often." }
    THROTTLED                    = { status = 429, code = "throttled", detail = "Too many requests; try again later." }
  } : {}
}

resource "aws_api_gateway_rest_api" "api" {
  for_each = local.one_api

  name        = local.api_name
  description = "Hot Reader API of the digital twin ${var.twin}"

  binary_media_types = local.binary_types

  endpoint_configuration {
    types = ["REGIONAL"]
  }
}

resource "aws_api_gateway_resource" "root" {
  for_each = toset(local.has_api ? ["healthz", "openapi.json", "read", "v1"] : [])

  rest_api_id = aws_api_gateway_rest_api.api["api"].id
  parent_id   = aws_api_gateway_rest_api.api["api"].root_resource_id
  path_part   = each.key
}

resource "aws_api_gateway_resource" "devices" {
  for_each = local.one_api

  rest_api_id = aws_api_gateway_rest_api.api["api"].id
  parent_id   = aws_api_gateway_resource.root["v1"].id
  path_part   = "devices"
}

resource "aws_api_gateway_resource" "id" {
  for_each = local.one_api

  rest_api_id = aws_api_gateway_rest_api.api["api"].id
  parent_id   = aws_api_gateway_resource.devices["api"].id
  path_part   = "{id}"
}

resource "aws_api_gateway_resource" "device" {
  for_each = toset(local.has_api ? ["history", "latest"] : [])

  rest_api_id = aws_api_gateway_rest_api.api["api"].id
  parent_id   = aws_api_gateway_resource.id["api"].id
  path_part   = each.key
}

resource "aws_api_gateway_method" "route" {
  for_each = local.routes

  rest_api_id      = aws_api_gateway_rest_api.api["api"].id
  resource_id      = each.value.resource
  http_method      = each.value.method
  authorization    = "NONE" # the function checks the token
  api_key_required = each.value.key
}

resource "aws_api_gateway_integration" "route" {
  for_each = local.routes

  rest_api_id             = aws_api_gateway_rest_api.api["api"].id
  resource_id             = each.value.resource
  http_method             = aws_api_gateway_method.route[each.key].http_method
  type                    = "AWS_PROXY"
  integration_http_method = "POST"
  uri                     = aws_lambda_function.function["hot-reader-api"].invoke_arn
  timeout_milliseconds    = 29000
}

resource "aws_api_gateway_gateway_response" "answer" {
  for_each = local.gateway_answers

  rest_api_id   = aws_api_gateway_rest_api.api["api"].id
  response_type = each.key
  status_code   = each.value.status

  response_templates = {
    # Of what the gateway says itself only the request's id is shown.
    "application/json" = join("", [
      "{\"type\":\"about:blank\",\"code\":\"${each.value.code}\",\"detail\":\"${each.value.detail}\",",
      each.value.status == null ? "" : "\"status\":${each.value.status},",
      "\"trace_id\":\"$context.requestId\"}",
    ])
  }

  response_parameters = merge(
    { "gatewayresponse.header.Content-Type" = "'application/problem+json'" },
    each.value.status == 429 ? { "gatewayresponse.header.Retry-After" = "'1'" } : {},
  )
}

resource "aws_lambda_permission" "api" {
  for_each = local.one_api

  statement_id  = "ApiGateway"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.function["hot-reader-api"].function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_api_gateway_rest_api.api["api"].execution_arn}/prod/*"
}

resource "aws_api_gateway_deployment" "api" {
  for_each = local.one_api

  rest_api_id = aws_api_gateway_rest_api.api["api"].id

  # A deployment is a copy of the routes; it is made anew when one changes, also
  # when one was changed by hand and is put right.
  triggers = {
    routes = sha256(jsonencode([
      local.binary_types,
      local.gateway_answers,
      var.allowed_ips,
      [for name, r in local.routes : [name, r.method, r.key]],
    ]))
  }

  lifecycle {
    create_before_destroy = true
    replace_triggered_by = [
      aws_api_gateway_gateway_response.answer,
      aws_api_gateway_integration.route,
      aws_api_gateway_method.route,
    ]
  }

  depends_on = [
    aws_api_gateway_gateway_response.answer,
    aws_api_gateway_integration.route,
    aws_api_gateway_rest_api_policy.allowed,
  ]
}

resource "aws_cloudwatch_log_group" "access" {
  for_each = toset(local.has_api && var.access_log ? ["api"] : [])

  name              = "/aws/apigateway/${local.api_name}"
  retention_in_days = var.log_days
  kms_key_id        = var.kms_key
}

resource "aws_api_gateway_stage" "prod" {
  for_each = local.one_api

  rest_api_id          = aws_api_gateway_rest_api.api["api"].id
  deployment_id        = aws_api_gateway_deployment.api["api"].id
  stage_name           = "prod"
  xray_tracing_enabled = true

  dynamic "access_log_settings" {
    for_each = aws_cloudwatch_log_group.access

    content {
      destination_arn = access_log_settings.value.arn
      # Neither headers nor queries: they hold the token and what was asked for.
      format = jsonencode({
        time        = "$context.requestTime"
        request_id  = "$context.requestId"
        ip          = "$context.identity.sourceIp"
        method      = "$context.httpMethod"
        resource    = "$context.resourcePath"
        status      = "$context.status"
        bytes       = "$context.responseLength"
        latency_ms  = "$context.responseLatency"
        function_ms = "$context.integration.latency"
        error       = "$context.error.responseType"
        xray        = "$context.xrayTraceId"
      })
    }
  }

  depends_on = [aws_api_gateway_account.logs]
}

# Two routes are for anybody. What strangers ask there neither takes from the rate of
# the others nor starts many functions.
resource "aws_api_gateway_method_settings" "all" {
  for_each = toset(local.has_api ? ["*/*", "healthz/GET", "openapi.json/GET"] : [])

  rest_api_id = aws_api_gateway_rest_api.api["api"].id
  stage_name  = aws_api_gateway_stage.prod["api"].stage_name
  method_path = each.key

  settings {
    metrics_enabled        = true
    logging_level          = "OFF" # it would log bodies
    data_trace_enabled     = false
    throttling_rate_limit  = each.key == "*/*" ? var.rate : min(var.rate, 5)
    throttling_burst_limit = each.key == "*/*" ? var.burst : min(var.burst, 10)
  }
}

# The key for people and dashboards.

resource "aws_api_gateway_api_key" "api" {
  for_each = toset(local.has_api && var.api_key ? ["api"] : [])

  name = local.api_name
}

resource "aws_api_gateway_usage_plan" "api" {
  for_each = toset(local.has_api && var.api_key ? ["api"] : [])

  name = local.api_name

  api_stages {
    api_id = aws_api_gateway_rest_api.api["api"].id
    stage  = aws_api_gateway_stage.prod["api"].stage_name
  }

  throttle_settings {
    rate_limit  = var.rate
    burst_limit = var.burst
  }
}

resource "aws_api_gateway_usage_plan_key" "api" {
  for_each = toset(local.has_api && var.api_key ? ["api"] : [])

  key_id        = aws_api_gateway_api_key.api["api"].id
  key_type      = "API_KEY"
  usage_plan_id = aws_api_gateway_usage_plan.api["api"].id
}

# The account's role for logs, only if it is asked for.

data "aws_iam_policy_document" "assume_logs" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["apigateway.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role" "logs" {
  for_each = toset(local.has_api && var.account_log_role ? ["api"] : [])

  name               = "${local.api_name}-logs"
  description        = "API Gateway's access logs, of all APIs in the account"
  assume_role_policy = data.aws_iam_policy_document.assume_logs.json
}

# As AWS's own AmazonAPIGatewayPushToCloudWatchLogs; API Gateway rejects a role
# with less.
data "aws_iam_policy_document" "logs" {
  statement {
    actions = [
      "logs:CreateLogGroup",
      "logs:CreateLogStream",
      "logs:DescribeLogGroups",
      "logs:DescribeLogStreams",
      "logs:FilterLogEvents",
      "logs:GetLogEvents",
      "logs:PutLogEvents",
    ]
    resources = ["*"]
  }
}

resource "aws_iam_role_policy" "logs" {
  for_each = aws_iam_role.logs

  name   = "logs"
  role   = each.value.name
  policy = data.aws_iam_policy_document.logs.json
}

resource "aws_api_gateway_account" "logs" {
  for_each = aws_iam_role.logs

  cloudwatch_role_arn = each.value.arn
  reset_on_delete     = true # else the account would name a role that is gone

  depends_on = [aws_iam_role_policy.logs]
}
