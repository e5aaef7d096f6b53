# The inter-cloud token.

locals {
  token_secret = one([for s in google_secret_manager_secret.token : "projects/${local.project}/secrets/${s.secret_id}/versions/latest"])
}

resource "google_secret_manager_secret" "token" {
  count = local.has_token ? 1 : 0

  project   = local.project
  secret_id = var.names.secret

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

resource "google_secret_manager_secret_version" "token" {
  count = local.has_token ? 1 : 0

  secret                 = google_secret_manager_secret.token[0].id
  secret_data_wo         = var.token
  secret_data_wo_version = tostring(var.token_version)

  # The service asks for the latest, and there always has to be one.
  lifecycle {
    create_before_destroy = true
  }
}

# The service may read this one secret.
resource "google_secret_manager_secret_iam_member" "token_read" {
  count = local.has_token ? 1 : 0

  project   = local.project
  secret_id = google_secret_manager_secret.token[0].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = local.member
}
