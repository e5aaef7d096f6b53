# The image, and the service that runs it.

resource "google_artifact_registry_repository" "images" {
  project       = local.project
  location      = var.region
  repository_id = var.names.repository
  format        = "DOCKER"
  kms_key_name  = var.kms_key

  docker_config {
    immutable_tags = true
  }

  depends_on = [google_project_service.api]
}

locals {
  # The tag is the package's digest: another package, another image.
  image = join("", [
    "${var.region}-docker.pkg.dev/${local.project}/${google_artifact_registry_repository.images.repository_id}",
    "/hotreader:sha256-${filesha256(var.package)}",
  ])
}

resource "terraform_data" "image" {
  triggers_replace = [local.image]

  provisioner "local-exec" {
    interpreter = ["hotreader", "image", "push"]
    command     = var.package
    environment = { HOTREADER_IMAGE = local.image }
  }

  lifecycle {
    replace_triggered_by = [google_artifact_registry_repository.images.id]
  }

  # A grant is in force some time after it is made, and the service does not start
  # without: let that time be the push's.
  depends_on = [
    google_secret_manager_secret_iam_member.token_read,
    google_secret_manager_secret_iam_member.page_key_read,
    google_secret_manager_secret_iam_member.caller_read,
    google_project_iam_member.read,
  ]
}

resource "google_cloud_run_v2_service" "hotreader" {
  project             = local.project
  name                = var.names.service
  location            = var.region
  ingress             = "INGRESS_TRAFFIC_ALL"
  deletion_protection = false # it holds nothing

  template {
    service_account = google_service_account.functions.email
    timeout         = "60s"
    encryption_key  = var.kms_key

    # 16 answers at once fit into 512 MB, of which 478 were used at most, and others
    # may wait for their turn. In less memory there are as many requests as have the
    # largest answer, 20 MB, beside the program and its cache.
    max_instance_request_concurrency = var.memory_mb >= 512 ? 80 : max(1, floor((var.memory_mb - 128) / 20))

    scaling {
      min_instance_count = 0
      max_instance_count = var.max_instances
    }

    containers {
      image = local.image

      ports {
        container_port = 8080
      }

      resources {
        cpu_idle          = true
        startup_cpu_boost = true
        limits = {
          cpu    = "1"
          memory = "${var.memory_mb}Mi"
        }
      }

      startup_probe {
        period_seconds    = 1
        timeout_seconds   = 1
        failure_threshold = 30

        http_get {
          path = "/healthz"
        }
      }

      dynamic "env" {
        for_each = merge(
          var.environment,
          local.store_environment,
          var.remote_url == "" ? {} : { REMOTE_READER_URL = var.remote_url },
          var.lower_urls,
          local.identity_environment,
          local.token_environment,
          { GOOGLE_CLOUD_PROJECT = local.project },
        )

        content {
          name  = env.key
          value = env.value
        }
      }
    }
  }

  # What the service needs when it starts first.
  depends_on = [
    terraform_data.image, # and the grants
    google_secret_manager_secret_version.token,
    google_secret_manager_secret_version.page_key,
    google_firestore_index.hot,
    google_project_iam_member.objects,
  ]
}

# Anybody may call it, for the inter-cloud token decides who may read, and
# the service checks it: the caller is on another cloud and has no identity here.
resource "google_cloud_run_v2_service_iam_member" "public" {
  project  = local.project
  location = var.region
  name     = google_cloud_run_v2_service.hotreader.name
  role     = "roles/run.invoker"
  member   = "allUsers"
}
