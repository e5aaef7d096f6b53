# How the functions prove themselves to an API on another cloud, the callers that the API here
# accepts by such proof, and the key of page tokens.

variable "audience" {
  description = "What the tokens are for that AWS signs for the functions; \"\" = it signs none. The account needs outbound identity federation."
  type        = string
  default     = ""
}

locals {
  caller_secrets = toset(compact([for c in jsondecode(var.trust == "" ? "[]" : var.trust) : lookup(c, "token_secret", "")]))

  page_key_secret = one(aws_secretsmanager_secret.page_key[*].arn)
}

resource "aws_secretsmanager_secret" "page_key" {
  count = local.has_page_key ? 1 : 0

  name                    = var.page_key_name
  kms_key_id              = var.kms_key
  description             = "Key of page tokens of the digital twin ${var.twin}"
  recovery_window_in_days = 0 # as the token's
}

resource "aws_secretsmanager_secret_version" "page_key" {
  count = local.has_page_key ? 1 : 0

  secret_id                = aws_secretsmanager_secret.page_key[0].id
  secret_string_wo         = var.page_key
  secret_string_wo_version = var.page_key_version
}

data "aws_iam_policy_document" "identity" {
  dynamic "statement" {
    for_each = var.audience == "" ? [] : [var.audience]

    content {
      sid       = "SignTokens"
      actions   = ["sts:GetWebIdentityToken"]
      resources = ["*"] # there is none to name

      # All audiences that are asked for, of which there is one at least.
      condition {
        test     = "ForAllValues:StringEquals"
        variable = "sts:IdentityTokenAudience"
        values   = [statement.value]
      }

      condition {
        test     = "Null"
        variable = "sts:IdentityTokenAudience"
        values   = ["false"]
      }

      condition {
        test     = "NumericLessThanEquals"
        variable = "sts:DurationSeconds"
        values   = ["3600"]
      }
    }
  }

  dynamic "statement" {
    for_each = aws_secretsmanager_secret.page_key[*].arn

    content {
      sid       = "ReadPageKey"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = length(local.caller_secrets) > 0 ? [local.caller_secrets] : []

    content {
      sid       = "ReadTokensOfCallers"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = statement.value
    }
  }
}

resource "aws_iam_role_policy" "identity" {
  for_each = { for role, f in var.functions : role => f if var.audience != "" || local.has_page_key || length(local.caller_secrets) > 0 }

  name   = "${each.value.name}-identity"
  role   = aws_iam_role.function[each.key].name
  policy = data.aws_iam_policy_document.identity.json
}

output "identity" {
  description = "The functions' identity, by role, for APIs that trust this account's issuer."
  value = {
    issuer   = "" # the account's: aws iam get-outbound-web-identity-federation-info
    subjects = { for role, r in aws_iam_role.function : role => r.arn }
  }
}
