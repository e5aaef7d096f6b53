# The inter-cloud token. Terraform hands it on and forgets it: the secret's
# content is write-only, and a new token is noticed by its version.

locals {
  token_secret = one(aws_secretsmanager_secret.token[*].arn)
}

resource "aws_secretsmanager_secret" "token" {
  count = local.has_token ? 1 : 0

  name        = var.secret_name
  kms_key_id  = var.kms_key
  description = "Inter-cloud token of the digital twin ${var.twin}: current, or current,previous"

  # The token has another home, config_inter_cloud.json; a secret that waited for
  # its deletion would keep its name from the next deployment.
  recovery_window_in_days = 0
}

resource "aws_secretsmanager_secret_version" "token" {
  count = local.has_token ? 1 : 0

  secret_id                = aws_secretsmanager_secret.token[0].id
  secret_string_wo         = var.token
  secret_string_wo_version = var.token_version
}
