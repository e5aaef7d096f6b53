variable "project" {
  description = "The Google Cloud project's id; null = the provider's, which the environment names."
  type        = string
  default     = null
}

variable "region" {
  description = "The region of the service, its image and the database."
  type        = string
  default     = "europe-west1"
}

variable "names" {
  description = "The names of what is made."
  type = object({
    service    = string
    account    = string
    secret     = string
    repository = string
  })
}

variable "functions" {
  description = "The functions that the service carries: their names by role."
  type        = map(string)
}

variable "environment" {
  description = "The service's environment, but for what is known only here: the store, the token's secret, the remote URL."
  type        = map(string)
}

variable "memory_mb" {
  description = "Memory of an instance."
  type        = number
  default     = 512

  validation {
    condition     = var.memory_mb >= 128 && var.memory_mb <= 4096
    error_message = "An instance with one processor has 128 to 4096 MB."
  }
}

variable "max_instances" {
  description = "Instances that run at most: a bound on cost, and on what the store is asked."
  type        = number
  default     = 10

  validation {
    condition     = var.max_instances >= 1 && var.max_instances <= 1000
    error_message = "A service has 1 to 1000 instances at most."
  }
}

variable "kms_key" {
  description = <<-EOT
    A Cloud KMS key in the region, as projects/P/locations/R/keyRings/N/cryptoKeys/K, for
    the database, if it is made here, the token's secret, the image and the service;
    null = Google's own keys. The service agents of these have to be allowed to use it.
  EOT
  type        = string
  default     = null
}

# Hot storage.

variable "store" {
  description = <<-EOT
    Hot storage: null where it is on another cloud. What is not created has to be
    there. The service may read the one database, and nothing else.
  EOT
  type = object({
    database        = string
    create_database = bool
    collection      = string
    collection_id   = string
    create_indexes  = bool
    device_key      = string
    time_key        = string
  })
  default = null
}

variable "objects" {
  description = <<-EOT
    Where cold storage and the archive lie on this cloud, in buckets of this project: the
    service may list and read the objects that begin with the prefix, and nothing else.
  EOT
  type = list(object({
    bucket = string
    prefix = string
  }))
  default = []
}
