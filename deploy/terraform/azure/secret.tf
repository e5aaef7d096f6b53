# The inter-cloud token, in a vault of its own.

locals {
  token_secret = one(azurerm_key_vault_secret.token[*].versionless_id)
}

resource "azurerm_key_vault" "token" {
  name                       = var.names.vault
  resource_group_name        = local.group
  location                   = var.location
  tenant_id                  = data.azurerm_client_config.current.tenant_id
  sku_name                   = "standard"
  rbac_authorization_enabled = true
  soft_delete_retention_days = 7
  purge_protection_enabled   = !var.purgeable
}

# The operator who applies this writes the token.
resource "azurerm_role_assignment" "token_write" {
  scope                = azurerm_key_vault.token.id
  role_definition_name = "Key Vault Secrets Officer"
  principal_id         = data.azurerm_client_config.current.object_id
}

# A role is not in force everywhere when its assignment is there; until then Key
# Vault answers 403.
resource "terraform_data" "token_write" {
  triggers_replace = [azurerm_role_assignment.token_write.id]

  provisioner "local-exec" {
    interpreter = ["hotreader", "vault", "wait"]
    command     = azurerm_key_vault.token.vault_uri
  }
}

resource "azurerm_key_vault_secret" "token" {
  count = local.has_token ? 1 : 0

  name             = var.names.secret
  key_vault_id     = azurerm_key_vault.token.id
  content_type     = "text/plain"
  value_wo         = var.token
  value_wo_version = var.token_version

  depends_on = [terraform_data.token_write]
}

# The functions may read this one secret.
resource "azurerm_role_assignment" "token_read" {
  count = local.has_token ? 1 : 0

  scope                = azurerm_key_vault_secret.token[0].resource_versionless_id
  role_definition_name = "Key Vault Secrets User"
  principal_id         = azurerm_user_assigned_identity.functions.principal_id
  principal_type       = "ServicePrincipal"
}
