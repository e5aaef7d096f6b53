# What the project has to have switched on, and the service's identity.

data "google_project" "here" {
  count = var.project == null ? 1 : 0
}

resource "google_project_service" "api" {
  for_each = toset(concat([
    "artifactregistry.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "iam.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
  ], var.store == null ? [] : ["firestore.googleapis.com"]))

  project = local.project
  service = each.key

  # Others in the project may use it too.
  disable_on_destroy = false
}

resource "google_service_account" "functions" {
  project      = local.project
  account_id   = var.names.account
  display_name = "Hot reader of ${var.twin}"

  depends_on = [google_project_service.api]
}

locals {
  project = coalesce(var.project, one(data.google_project.here[*].project_id))
  member  = "serviceAccount:${google_service_account.functions.email}"
}
