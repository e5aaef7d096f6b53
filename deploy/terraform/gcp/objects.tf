# Cold storage and the archive: objects that are there, and are read only.

resource "google_project_iam_member" "objects" {
  for_each = { for o in var.objects : "${o.bucket}/${o.prefix}" => o }

  project = local.project
  role    = "roles/storage.objectViewer"
  member  = local.member

  condition {
    title = "cold storage of ${var.twin}"
    expression = join(" || ", [
      "resource.name.startsWith(\"projects/_/buckets/${each.value.bucket}/objects/${each.value.prefix}\")",
      "resource.name == \"projects/_/buckets/${each.value.bucket}\" && api.getAttribute(\"storage.googleapis.com/objectListPrefix\", \"\").startsWith(\"${each.value.prefix}\")",
    ])
  }

  depends_on = [google_project_service.api]
}
