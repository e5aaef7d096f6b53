# How the functions prove themselves to an API on another cloud, the callers that the API here
# accepts by such proof, and the key of page tokens. The managed identity is in group.tf.

variable "audience" {
  description = "The app registration that tokens of the managed identity are issued for: its Application ID URI, or its client ID if it asks for tokens of version 2; \"\" = none are asked for."
  type        = string
  default     = ""
}

locals {
  tenant = azurerm_user_assigned_identity.functions.tenant_id

  caller_secrets = toset(compact([for c in jsondecode(var.trust == "" ? "[]" : var.trust) : lookup(c, "token_secret", "")]))

  page_key_secret = one(azurerm_key_vault_secret.page_key[*].versionless_id)
}

resource "azurerm_key_vault_secret" "page_key" {
  count = local.has_page_key ? 1 : 0

  name             = var.page_key_name
  key_vault_id     = azurerm_key_vault.token.id
  content_type     = "text/plain"
  value_wo         = var.page_key
  value_wo_version = var.page_key_version

  depends_on = [terraform_data.token_write]
}

resource "azurerm_role_assignment" "page_key_read" {
  count = local.has_page_key ? 1 : 0

  scope                = azurerm_key_vault_secret.page_key[0].resource_versionless_id
  role_definition_name = "Key Vault Secrets User"
  principal_id         = azurerm_user_assigned_identity.functions.principal_id
  principal_type       = "ServicePrincipal"
}

# Their vaults are in the resource group of the twin, as its own is.
resource "azurerm_role_assignment" "caller_read" {
  for_each = local.caller_secrets

  scope = join("", [
    "/subscriptions/${data.azurerm_client_config.current.subscription_id}/resourceGroups/${var.resource_group.name}",
    "/providers/Microsoft.KeyVault/vaults/${replace(each.value, "/^https://([^.]+)[^/]*/secrets/([^/]+).*$/", "$1/secrets/$2")}",
  ])
  role_definition_name = "Key Vault Secrets User"
  principal_id         = azurerm_user_assigned_identity.functions.principal_id
  principal_type       = "ServicePrincipal"

  depends_on = [azurerm_key_vault.token]
}

output "identity" {
  description = "The functions' identity, for APIs that trust this tenant's issuer."
  value = {
    # Of a token of version 2 the audience is a client ID.
    issuer   = replace(var.audience, "/^[0-9a-fA-F-]{36}$/", "") == "" ? "https://login.microsoftonline.com/${local.tenant}/v2.0" : "https://sts.windows.net/${local.tenant}/"
    subjects = { hot-reader = azurerm_user_assigned_identity.functions.principal_id }
  }
}
