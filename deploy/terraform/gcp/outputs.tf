output "url" {
  description = "What the other cloud, or the user, calls."
  value       = google_cloud_run_v2_service.hotreader.uri
  depends_on  = [google_cloud_run_v2_service_iam_member.public]
}

output "functions" {
  description = "The functions by role. One service carries them all."
  value = {
    for role, name in var.functions : role => {
      name = name
      id   = google_cloud_run_v2_service.hotreader.id
      url  = google_cloud_run_v2_service.hotreader.uri
    }
  }
}

output "store" {
  description = "Hot storage, if it is here."
  value       = var.store == null ? "" : "Firestore collection ${local.project}/${var.store.database}/${var.store.collection}"
}

output "region" {
  value = var.region
}
