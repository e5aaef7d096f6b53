# The functions, each with a role of its own that may do what it does and no
# more.

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "function" {
  for_each = var.functions

  name               = each.value.name
  description        = "${each.key} of the digital twin ${var.twin}"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

data "aws_iam_policy_document" "function" {
  for_each = var.functions

  statement {
    sid       = "WriteOwnLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.function[each.key].arn}:*"]
  }

  statement {
    sid       = "Trace"
    actions   = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]
    resources = ["*"] # X-Ray has no resources to name
  }

  dynamic "statement" {
    for_each = each.value.store ? [local.queried_arn] : []

    content {
      sid       = "QueryHotStorage"
      actions   = ["dynamodb:Query"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = { for service, keys in {
      dynamodb       = each.value.store ? local.table_keys : []
      secretsmanager = each.value.token || local.has_page_key ? var.kms_key[*] : []
    } : service => keys if length(keys) > 0 }

    content {
      sid       = "Decrypt${statement.key}"
      actions   = ["kms:Decrypt"]
      resources = statement.value

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["${statement.key}.${local.region}.${data.aws_partition.current.dns_suffix}"]
      }
    }
  }

  dynamic "statement" {
    for_each = var.objects

    content {
      sid       = "ListObjects${statement.key}"
      actions   = ["s3:ListBucket"]
      resources = ["arn:${data.aws_partition.current.partition}:s3:::${statement.value.bucket}"]

      condition {
        test     = "StringLike"
        variable = "s3:prefix"
        values   = ["${statement.value.prefix}*"]
      }
    }
  }

  dynamic "statement" {
    for_each = var.objects

    content {
      sid       = "GetObjects${statement.key}"
      actions   = ["s3:GetObject"]
      resources = ["arn:${data.aws_partition.current.partition}:s3:::${statement.value.bucket}/${statement.value.prefix}*"]
    }
  }

  dynamic "statement" {
    for_each = each.value.token ? aws_secretsmanager_secret.token[*].arn : []

    content {
      sid       = "ReadToken"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role_policy" "function" {
  for_each = var.functions

  name   = each.value.name
  role   = aws_iam_role.function[each.key].name
  policy = data.aws_iam_policy_document.function[each.key].json
}

# Made before the function, which would else make one that keeps its lines for
# ever.
resource "aws_cloudwatch_log_group" "function" {
  for_each = var.functions

  name              = "/aws/lambda/${each.value.name}"
  retention_in_days = var.log_days
  kms_key_id        = var.kms_key
}

resource "aws_lambda_function" "function" {
  for_each = var.functions

  function_name    = each.value.name
  description      = "${each.key} of the digital twin ${var.twin}"
  role             = aws_iam_role.function[each.key].arn
  runtime          = "provided.al2023"
  architectures    = ["arm64"]
  handler          = each.key
  filename         = var.package
  source_code_hash = filebase64sha256(var.package)
  memory_size      = var.memory_mb
  timeout          = 30 # API Gateway gives up after 29

  reserved_concurrent_executions = var.reserved_concurrency

  environment {
    variables = merge(
      each.value.env,
      each.value.store ? { DYNAMODB_TABLE_NAME = local.table_name } : {},
      each.value.remote ? { REMOTE_READER_URL = var.remote_url } : {},
      var.lower_urls,
      local.identity_environment,
      each.value.token ? local.token_environment : {},
    )
  }

  tracing_config {
    mode = "Active"
  }

  lifecycle {
    precondition {
      condition     = !each.value.remote || var.remote_url != ""
      error_message = "${each.value.name} reads from another cloud, but remote_url is empty. Deploy hot storage's cloud first."
    }
    precondition {
      condition     = !each.value.token || local.has_token
      error_message = "${each.value.name} needs the inter-cloud token, but token_version is 0."
    }
    precondition {
      condition     = !each.value.store || var.table != null
      error_message = "${each.value.name} queries hot storage, but table is null."
    }
  }

  # What it needs when it starts has to be there.
  depends_on = [
    aws_cloudwatch_log_group.function,
    aws_iam_role_policy.function,
    aws_iam_role_policy.identity,
    aws_secretsmanager_secret_version.page_key,
    aws_secretsmanager_secret_version.token,
  ]
}
