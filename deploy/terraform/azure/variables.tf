variable "location" {
  description = "The Azure region; one that has Flex Consumption."
  type        = string
  default     = "westeurope"
}

variable "resource_group" {
  description = "The resource group that everything is in. Without create it has to be there."
  type = object({
    name   = string
    create = bool
  })
}

variable "names" {
  description = "The names of what is made: those of app, storage and vault are unique in the world."
  type = object({
    app      = string
    plan     = string
    identity = string
    storage  = string
    vault    = string
    secret   = string
    insights = string
    logs     = string
  })
}

variable "functions" {
  description = "The functions that the app carries: their names by role."
  type        = map(string)
}

variable "environment" {
  description = "The app's environment, but for what is known only here: the store, the token's secret, the remote URL."
  type        = map(string)
}

variable "memory_mb" {
  description = "Memory of an instance: 512, 2048 or 4096."
  type        = number
  default     = 2048

  validation {
    condition     = contains([512, 2048, 4096], var.memory_mb)
    error_message = "An instance of Flex Consumption has 512, 2048 or 4096 MB."
  }
}

variable "max_instances" {
  description = "Instances that run at most: a bound on cost, and on what the store is asked."
  type        = number
  default     = 40

  validation {
    condition     = var.max_instances >= 1 && var.max_instances <= 1000
    error_message = "An app on Flex Consumption has 1 to 1000 instances at most."
  }
}

variable "allowed_ips" {
  description = "Networks that alone may call the app, as 192.0.2.0/24; none = all."
  type        = list(string)
  default     = []
}

variable "vault_key" {
  description = <<-EOT
    The URL, without a version, of a key in a Key Vault, for the Cosmos DB account, if it
    is made here, and the app's storage; null = Microsoft's own keys.
  EOT
  type        = string
  default     = null
}

variable "vault_key_identity" {
  description = "The ID of the managed identity that may use vault_key."
  type        = string
  default     = null
}

variable "purgeable" {
  description = "Lets the token's vault be purged, which destroy then does. Without, it waits seven days, and the next deployment takes it back."
  type        = bool
  default     = false
}

variable "log_days" {
  description = "Days that logs are kept, 30 to 730."
  type        = number
  default     = 30

  validation {
    condition     = var.log_days >= 30 && var.log_days <= 730
    error_message = "Log Analytics keeps logs for 30 to 730 days."
  }
}

# Hot storage.

variable "store" {
  description = <<-EOT
    Hot storage: null where it is on another cloud. What is not created has to be
    there. The function may read the one container, and nothing else.
  EOT
  type = object({
    account          = string
    create_account   = bool
    database         = string
    create_database  = bool
    container        = string
    create_container = bool
    partition_key    = string
  })
  default = null
}

variable "objects" {
  description = <<-EOT
    Where cold storage and the archive lie on this cloud: the app may list and read the
    blobs that begin with the prefix, and nothing else. The accounts have to be there,
    in resource_group or in the twin's group.
  EOT
  type = list(object({
    account        = string
    container      = string
    prefix         = string
    resource_group = optional(string)
  }))
  default = []
}
