# Hot storage: a database that is made here, or one that is there.

locals {
  makes_database = var.store == null ? false : var.store.create_database
  makes_indexes  = var.store == null ? false : var.store.create_indexes

  store_environment = var.store == null ? {} : {
    FIRESTORE_DATABASE   = var.store.database
    FIRESTORE_COLLECTION = var.store.collection
  }
}

resource "google_firestore_database" "hot" {
  count = local.makes_database ? 1 : 0

  project                           = local.project
  name                              = var.store.database
  location_id                       = var.region
  type                              = "FIRESTORE_NATIVE"
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"
  delete_protection_state           = var.keep_store ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"

  # Else a destroy would forget the database and leave it.
  deletion_policy = "DELETE"

  dynamic "cmek_config" {
    for_each = var.kms_key[*]

    content {
      kms_key_name = cmek_config.value
    }
  }

  depends_on = [google_project_service.api]
}

# A query asks for one device's documents by time, forwards or backwards. The name,
# by which documents of one instant are ordered, Firestore adds in the direction of
# the time.
resource "google_firestore_index" "hot" {
  for_each = local.makes_indexes ? toset(["ASCENDING", "DESCENDING"]) : toset([])

  project     = local.project
  database    = var.store.database
  collection  = var.store.collection_id
  query_scope = "COLLECTION"

  fields {
    field_path = var.store.device_key
    order      = "ASCENDING"
  }

  fields {
    field_path = var.store.time_key
    order      = each.key
  }

  depends_on = [google_firestore_database.hot]
}

# Reading, in this one database.
resource "google_project_iam_member" "read" {
  count = var.store == null ? 0 : 1

  project = local.project
  role    = "roles/datastore.viewer"
  member  = local.member

  condition {
    title      = "hot storage of ${var.twin}"
    expression = "resource.name == \"projects/${local.project}/databases/${var.store.database}\""
  }

  depends_on = [google_firestore_database.hot, google_project_service.api]
}
