# Hot storage: a table that is made here, or one that is there.

locals {
  makes_table = var.table == null ? false : var.table.create
  finds_table = var.table == null ? false : !var.table.create

  table_name = one(concat(aws_dynamodb_table.hot[*].name, data.aws_dynamodb_table.hot[*].name))
  table_arn  = one(concat(aws_dynamodb_table.hot[*].arn, data.aws_dynamodb_table.hot[*].arn))

  # What is queried: the table, or one of its indexes.
  queried_arn = local.table_arn == null || try(var.table.index, null) == null ? local.table_arn : "${local.table_arn}/index/${var.table.index}"

  # A table may be encrypted with a key of the account's own.
  table_keys = local.makes_table ? var.kms_key[*] : compact(flatten(data.aws_dynamodb_table.hot[*].server_side_encryption[*].kms_key_arn))
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

  dynamic "server_side_encryption" {
    for_each = var.kms_key[*]

    content {
      enabled     = true
      kms_key_arn = server_side_encryption.value
    }
  }
}

data "aws_dynamodb_table" "hot" {
  count = local.finds_table ? 1 : 0

  name = var.table.name

  lifecycle {
    postcondition {
      condition     = var.table.index != null || self.hash_key == var.table.device_key && self.range_key == var.table.time_key
      error_message = "Table ${var.table.name} has the keys ${self.hash_key} and ${coalesce(self.range_key, "(none)")}; expected ${var.table.device_key} and ${var.table.time_key}. Say so with device_key and time_key in config_hot_reader.json, or name another table."
    }

    # A local index has the table's hash key.
    postcondition {
      condition = var.table.index == null || contains(concat(
        [for i in self.global_secondary_index : [i.hash_key, i.range_key] if i.name == var.table.index],
        [for i in self.local_secondary_index : [self.hash_key, i.range_key] if i.name == var.table.index],
      ), [var.table.device_key, var.table.time_key])
      error_message = "Table ${var.table.name} has no secondary index ${coalesce(var.table.index, "(none)")} with the keys ${var.table.device_key} and ${var.table.time_key}. Say so with index, device_key and time_key of the layout in config_hot_reader.json, or name another table."
    }
  }
}
