# How the functions prove themselves to an API on another cloud, the callers that the API here
# accepts by such proof, and the key of page tokens. The service account is in
# project.tf.

variable "audience" {
  description = "What the tokens are for that Google signs for the functions; \"\" = none are asked for. Nothing has to be made for it."
  type        = string
  default     = ""
}

locals {
  # Of each the secret alone, whichever version is asked for.
  caller_secrets = toset(compact([for c in jsondecode(var.trust == "" ? "[]" : var.trust) : replace(lookup(c, "token_secret", ""), "//versions/[^/]+$/", "")]))

  page_key_secret = one([for s in google_secret_manager_secret.page_key : "projects/${local.project}/secrets/${s.secret_id}/versions/latest"])
}

resource "google_secret_manager_secret" "page_key" {
  count = local.has_page_key ? 1 : 0

  project   = local.project
  secret_id = var.page_key_name

  replication {
    dynamic "auto" {
      for_each = var.kms_key == null ? [1] : []

      content {}
    }

    # A key is in one region, and what it encrypts, too.
    dynamic "user_managed" {
      for_each = var.kms_key[*]

      content {
        replicas {
          location = var.region

          customer_managed_encryption {
            kms_key_name = user_managed.value
          }
        }
      }
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_secret_manager_secret_version" "page_key" {
  count = local.has_page_key ? 1 : 0

  secret                 = google_secret_manager_secret.page_key[0].id
  secret_data_wo         = var.page_key
  secret_data_wo_version = tostring(var.page_key_version)

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_secret_manager_secret_iam_member" "page_key_read" {
  count = local.has_page_key ? 1 : 0

  project   = local.project
  secret_id = google_secret_manager_secret.page_key[0].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = local.member
}

resource "google_secret_manager_secret_iam_member" "caller_read" {
  for_each = local.caller_secrets

  project   = split("/", each.value)[1]
  secret_id = split("/", each.value)[3]
  role      = "roles/secretmanager.secretAccessor"
  member    = local.member

  depends_on = [google_project_service.api]
}

output "identity" {
  description = "The functions' identity, for APIs that trust Google's issuer."
  value = {
    issuer   = "https://accounts.google.com"
    subjects = { hot-reader = google_service_account.functions.unique_id }
  }
}
