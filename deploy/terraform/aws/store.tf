# Hot storage: a table that is made here, or one that is there.

locals {
  makes_table = var.table == null ? false : var.table.create
  finds_table = var.table == null ? false : !var.table.create

  table_name = one(concat(aws_dynamodb_table.hot[*].name, data.aws_dynamodb_table.hot[*].name))
  table_arn  = one(concat(aws_dynamodb_table.hot[*].arn, data.aws_dynamodb_table.hot[*].arn))

  # A table that is there may be encrypted with a key of the account's own.
  table_keys = compact(flatten(data.aws_dynamodb_table.hot[*].server_side_encryption[*].kms_key_arn))
}

resource "aws_dynamodb_table" "hot" {
  count = local.makes_table ? 1 : 0

  name                        = var.table.name
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = var.table.device_key
  range_key                   = var.table.time_key
  deletion_protection_enabled = var.keep_store

  attribute {
    name = var.table.device_key
    type = "S"
  }

  attribute {
    name = var.table.time_key
    type = var.table.time_type
  }

  point_in_time_recovery {
    enabled = true
  }
}

data "aws_dynamodb_table" "hot" {
  count = local.finds_table ? 1 : 0

  name = var.table.name

  lifecycle {
    postcondition {
      condition     = self.hash_key == var.table.device_key && self.range_key == var.table.time_key
      error_message = "Table ${var.table.name} has the keys ${self.hash_key} and ${coalesce(self.range_key, "(none)")}; wanted are ${var.table.device_key} and ${var.table.time_key}. Say so with device_key and time_key in config_hot_reader.json, or name another table."
    }
  }
}
