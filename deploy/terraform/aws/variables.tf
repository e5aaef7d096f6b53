variable "functions" {
  description = <<-EOT
    The functions, by role: hot-reader, hot-reader-last-entry, hot-reader-api. The
    role is the handler, by which the one bootstrap knows what to be. store says
    that a function queries the table, remote that it asks the other cloud's API,
    token that it needs the inter-cloud token.
  EOT
  type = map(object({
    name   = string
    env    = map(string)
    store  = bool
    remote = bool
    token  = bool
  }))
}

variable "memory_mb" {
  description = "Memory of a function; its share of a processor grows with it."
  type        = number
  default     = 512
}

variable "log_days" {
  description = "Days that logs are kept: one of the numbers that CloudWatch Logs knows."
  type        = number
  default     = 14
}

variable "reserved_concurrency" {
  description = "Requests that each function takes at once at most, and that the account keeps free for it; -1 = as many as the account has left."
  type        = number
  default     = -1
}

variable "kms_key" {
  description = <<-EOT
    The ARN of a KMS key for the table, if it is made here, the token's secret and the
    logs; null = AWS's own keys. Its policy has to let logs.REGION.amazonaws.com use it.
  EOT
  type        = string
  default     = null
}

# Hot storage.

variable "table" {
  description = <<-EOT
    Hot storage: null where it is on another cloud. With create, the table is made
    with a HASH key device_key (S) and a RANGE key time_key of time_type (S or N);
    else it has to be there, name may be its ARN, and with an index the keys are those
    of that secondary index, which alone is queried.
  EOT
  type = object({
    name       = string
    create     = bool
    device_key = string
    time_key   = string
    time_type  = string
    index      = optional(string)
  })
  default = null
}

variable "objects" {
  description = "Where cold storage and the archive lie on this cloud: the functions may list and get what begins with the prefix, and nothing else."
  type = list(object({
    bucket = string
    prefix = string
  }))
  default = []
}

variable "secret_name" {
  description = "The secret that holds the token."
  type        = string
  default     = ""
}

# The Hot Reader API.

variable "rate" {
  description = "Requests a second that the API takes over all its callers."
  type        = number
  default     = 100
}

variable "burst" {
  description = "Requests that the API takes at once, above rate."
  type        = number
  default     = 200
}

variable "waf" {
  description = <<-EOT
    Puts a web ACL before the API. It blocks what has no token, and addresses that take
    more than half of rate for a minute, before the gateway counts them.
  EOT
  type        = bool
  default     = false
}

variable "allowed_ips" {
  description = "Networks that alone may call the API, as 192.0.2.0/24; none = all."
  type        = list(string)
  default     = []
}

variable "api_key" {
  description = <<-EOT
    Asks for an API key, beside the token, in the GET routes, which people and
    dashboards use, and meters it by a usage plan. POST /read needs the token only:
    a peer reader sends no key.
  EOT
  type        = bool
  default     = false
}

variable "account_log_role" {
  description = <<-EOT
    Sets the role by which API Gateway writes logs. It is one for the account and the
    region, of all APIs in it, so it is left alone unless this asks for it. Without
    any, AWS rejects the access log: "CloudWatch Logs role ARN must be set in
    account settings".
  EOT
  type        = bool
  default     = false
}

variable "access_log" {
  description = "Writes a line for each request to the API."
  type        = bool
  default     = true
}

# The twin.

variable "twinmaker" {
  description = <<-EOT
    TwinMaker's part: null where the twin is on another cloud. A workspace is made,
    with a bucket {bucket}-{account} and a role, unless create_workspace is false;
    then role names the role of the one that is there, which is given leave to
    invoke the functions. components are CloudFormation templates by the stack's
    name, with the parameters WorkspaceId, History and LastEntry.
  EOT
  type = object({
    workspace        = string
    create_workspace = bool
    workspace_stack  = string
    workspace_body   = string
    bucket           = string
    role             = string
    components       = map(string)
  })
  default = null
}
