# What keeps strangers from the API, where it is asked for.

data "aws_iam_policy_document" "allowed" {
  for_each = toset(length(var.allowed_ips) > 0 ? local.one_api : [])

  statement {
    actions   = ["execute-api:Invoke"]
    resources = ["${aws_api_gateway_rest_api.api["api"].execution_arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "IpAddress"
      variable = "aws:SourceIp"
      values   = var.allowed_ips
    }
  }
}

resource "aws_api_gateway_rest_api_policy" "allowed" {
  for_each = data.aws_iam_policy_document.allowed

  rest_api_id = aws_api_gateway_rest_api.api["api"].id
  policy      = each.value.json
}

resource "aws_wafv2_web_acl" "api" {
  for_each = toset(var.waf ? local.one_api : [])

  name        = local.api_name
  description = "Strangers before the Hot Reader API of the digital twin ${var.twin}"
  scope       = "REGIONAL"

  default_action {
    allow {}
  }

  # Whether a token is right the function says; nothing gets that far without one.
  rule {
    name     = "no-token"
    priority = 0

    action {
      block {}
    }

    statement {
      not_statement {
        statement {
          or_statement {
            dynamic "statement" {
              for_each = toset(["authorization", "x-inter-cloud-token"])

              content {
                size_constraint_statement {
                  comparison_operator = "GT"
                  size                = 0

                  field_to_match {
                    single_header {
                      name = statement.value
                    }
                  }

                  text_transformation {
                    priority = 0
                    type     = "NONE"
                  }
                }
              }
            }

            statement {
              regex_match_statement {
                regex_string = "/(healthz|openapi\\.json)$"

                field_to_match {
                  uri_path {}
                }

                text_transformation {
                  priority = 0
                  type     = "NONE"
                }
              }
            }
          }
        }
      }
    }

    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "${local.api_name}-no-token"
      sampled_requests_enabled   = false # samples show headers, and with them tokens
    }
  }

  rule {
    name     = "address"
    priority = 1

    action {
      block {}
    }

    statement {
      rate_based_statement {
        limit                 = max(10, ceil(var.rate * 60 / 2))
        evaluation_window_sec = 60
        aggregate_key_type    = "IP"
      }
    }

    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "${local.api_name}-address"
      sampled_requests_enabled   = false
    }
  }

  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = local.api_name
    sampled_requests_enabled   = false
  }
}

resource "aws_wafv2_web_acl_association" "api" {
  for_each = aws_wafv2_web_acl.api

  web_acl_arn  = each.value.arn
  resource_arn = aws_api_gateway_stage.prod["api"].arn
}
