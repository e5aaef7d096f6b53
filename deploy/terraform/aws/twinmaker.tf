# AWS IoT TwinMaker. Terraform's provider has no resources for it;
# CloudFormation has.

locals {
  has_twin        = var.twinmaker != null
  makes_workspace = local.has_twin ? var.twinmaker.create_workspace : false
  workspace_role  = one(concat(aws_iam_role.workspace[*].name, local.has_twin && !local.makes_workspace ? [var.twinmaker.role] : []))
  workspace_id    = local.has_twin ? var.twinmaker.workspace : ""

  # TwinMaker rejects an ARN with a version or an alias.
  readers = local.has_twin ? {
    History   = aws_lambda_function.function["hot-reader"].arn
    LastEntry = aws_lambda_function.function["hot-reader-last-entry"].arn
  } : {}
}

# The workspace's bucket holds scenes and models.
resource "aws_s3_bucket" "workspace" {
  count = local.makes_workspace ? 1 : 0

  bucket        = "${var.twinmaker.bucket}-${local.account}"
  force_destroy = !var.keep_store
}

resource "aws_s3_bucket_public_access_block" "workspace" {
  count = local.makes_workspace ? 1 : 0

  bucket                  = aws_s3_bucket.workspace[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

# What is overwritten or removed can be had back, until the bucket goes.
resource "aws_s3_bucket_versioning" "workspace" {
  count = local.makes_workspace ? 1 : 0

  bucket = aws_s3_bucket.workspace[0].id

  versioning_configuration {
    status = "Enabled"
  }
}

data "aws_iam_policy_document" "tls" {
  count = local.makes_workspace ? 1 : 0

  statement {
    sid       = "TLSOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.workspace[0].arn, "${aws_s3_bucket.workspace[0].arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "workspace" {
  count = local.makes_workspace ? 1 : 0

  bucket = aws_s3_bucket.workspace[0].id
  policy = data.aws_iam_policy_document.tls[0].json

  depends_on = [aws_s3_bucket_public_access_block.workspace]
}

data "aws_iam_policy_document" "assume_workspace" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["iottwinmaker.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role" "workspace" {
  count = local.makes_workspace ? 1 : 0

  name               = var.twinmaker.role
  description        = "TwinMaker workspace of the digital twin ${var.twin}"
  assume_role_policy = data.aws_iam_policy_document.assume_workspace.json
}

# What TwinMaker's guide names for a workspace, on the one bucket.
data "aws_iam_policy_document" "workspace" {
  count = local.makes_workspace ? 1 : 0

  statement {
    sid       = "UseBucket"
    actions   = ["s3:GetBucket*", "s3:ListBucket"]
    resources = [aws_s3_bucket.workspace[0].arn]
  }

  statement {
    sid       = "UseObjects"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${aws_s3_bucket.workspace[0].arn}/*"]
  }

  statement {
    sid       = "RemoveOwnMark"
    actions   = ["s3:DeleteObject"]
    resources = ["${aws_s3_bucket.workspace[0].arn}/DO_NOT_DELETE_WORKSPACE_*"]
  }
}

resource "aws_iam_role_policy" "workspace" {
  count = local.makes_workspace ? 1 : 0

  name   = "workspace"
  role   = aws_iam_role.workspace[0].name
  policy = data.aws_iam_policy_document.workspace[0].json
}

# TwinMaker invokes the readers by the workspace's role.
data "aws_iam_policy_document" "readers" {
  count = local.has_twin ? 1 : 0

  statement {
    sid       = "InvokeReaders"
    actions   = ["lambda:InvokeFunction"]
    resources = values(local.readers)
  }
}

resource "aws_iam_role_policy" "readers" {
  count = local.has_twin ? 1 : 0

  name   = var.functions["hot-reader"].name
  role   = local.workspace_role
  policy = data.aws_iam_policy_document.readers[0].json
}

resource "aws_cloudformation_stack" "workspace" {
  count = local.makes_workspace ? 1 : 0

  name          = var.twinmaker.workspace_stack
  template_body = var.twinmaker.workspace_body
  on_failure    = "DELETE" # else a failed stack would block the next one

  parameters = {
    WorkspaceId = var.twinmaker.workspace
    Role        = aws_iam_role.workspace[0].arn
    Bucket      = aws_s3_bucket.workspace[0].arn
  }

  # A role can be assumed only some seconds after it was made. By the time the
  # functions stand it can.
  depends_on = [
    aws_iam_role_policy.workspace,
    aws_iam_role_policy.readers,
    aws_s3_bucket_public_access_block.workspace,
    aws_lambda_function.function,
  ]
}

# One component type for each device, each in a stack of its own: what becomes
# of one device touches no other.
resource "aws_cloudformation_stack" "component" {
  for_each = local.has_twin ? var.twinmaker.components : {}

  name          = each.key
  template_body = each.value
  on_failure    = "DELETE"

  parameters = merge(local.readers, { WorkspaceId = local.workspace_id })

  depends_on = [
    aws_cloudformation_stack.workspace,
    aws_iam_role_policy.readers,
  ]
}
