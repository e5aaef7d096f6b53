# What the modules of all three clouds take; it is written into each of them.
variable "twin" {
  description = "The digital twin's name."
  type        = string
}

variable "package" {
  description = "The file with the functions' programs: the zip for Lambda on arm64 or for the function app on amd64, or the image, an OCI layout in a tar."
  type        = string
}

variable "keep_store" {
  description = <<-EOT
    Protects what holds data, and is made here, from being removed: destroy stops in
    front of it. To destroy it, apply this with false first.
  EOT
  type        = bool
  default     = true
}

# The other cloud.

variable "remote_url" {
  description = "The Hot Reader API on the cloud of hot storage, where that is another."
  type        = string
  default     = ""
}

variable "lower_urls" {
  description = "The variables with the URL of an API on another cloud that holds cold storage or the archive."
  type        = map(string)
  default     = {}
}

# The inter-cloud token.

variable "token" {
  description = "The inter-cloud token: current, or current,previous. It goes to the cloud's secret store only, never into a plan or state."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

variable "token_version" {
  description = "Raised with each change of the token, which is not seen otherwise. 0 = there is no token."
  type        = number
  default     = 0
}

# The callers of the API, and the key of page tokens.

variable "trust" {
  description = "HOTREADER_TRUST of the API: the callers that it accepts beside those with the token; \"\" = none. The functions may read each token_secret in it."
  type        = string
  default     = ""
}

variable "page_key" {
  description = "The key of page tokens. It goes to the cloud's secret store only, never into a plan or state."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

variable "page_key_version" {
  description = "Another number for each key. 0 = there is none."
  type        = number
  default     = 0
}

variable "page_key_name" {
  description = "The secret that holds the key."
  type        = string
  default     = ""
}

locals {
  has_token    = var.token_version > 0
  has_page_key = var.page_key_version > 0

  # The versions are not read: with another token, or key, new instances start, which fetch it.
  token_environment = local.has_token ? {
    INTER_CLOUD_TOKEN_SECRET = local.token_secret
    HOTREADER_TOKEN_VERSION  = tostring(var.token_version)
  } : {}

  identity_environment = merge(
    var.trust == "" ? {} : { HOTREADER_TRUST = var.trust },
    local.has_page_key ? {
      HOTREADER_PAGE_KEY_SECRET  = local.page_key_secret
      HOTREADER_PAGE_KEY_VERSION = tostring(var.page_key_version)
    } : {},
  )
}

output "trust" {
  value = var.trust
}
