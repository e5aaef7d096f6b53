# Hot storage: an account, database and container that are made here or are there.

locals {
  makes_account   = var.store == null ? false : var.store.create_account
  makes_database  = var.store == null ? false : var.store.create_database
  makes_container = var.store == null ? false : var.store.create_container

  # The same for an account that is there and one that is made.
  account_id = var.store == null ? "" : join("", [
    "/subscriptions/${data.azurerm_client_config.current.subscription_id}",
    "/resourceGroups/${var.resource_group.name}",
    "/providers/Microsoft.DocumentDB/databaseAccounts/${var.store.account}",
  ])
  container_id = var.store == null ? "" : "${local.account_id}/dbs/${var.store.database}/colls/${var.store.container}"

  # The built-in role Cosmos DB Data Reader: read, query, change feed, metadata.
  data_reader = "${local.account_id}/sqlRoleDefinitions/00000000-0000-0000-0000-000000000001"

  store_environment = var.store == null ? {} : {
    COSMOS_DB_ENDPOINT  = one(concat(azurerm_cosmosdb_account.hot[*].endpoint, local.makes_account ? [] : ["https://${var.store.account}.documents.azure.com:443/"]))
    COSMOS_DB_DATABASE  = var.store.database
    COSMOS_DB_CONTAINER = var.store.container
  }
}

resource "azurerm_cosmosdb_account" "hot" {
  count = local.makes_account ? 1 : 0

  name                = var.store.account
  resource_group_name = local.group
  location            = var.location
  offer_type          = "Standard"
  kind                = "GlobalDocumentDB"

  # No keys: readers and writers use an identity.
  local_authentication_enabled       = false
  access_key_metadata_writes_enabled = false
  minimal_tls_version                = "Tls12"

  key_vault_key_id      = var.vault_key
  default_identity_type = var.vault_key_identity == null ? null : "UserAssignedIdentity=${var.vault_key_identity}"

  dynamic "identity" {
    for_each = var.vault_key_identity[*]

    content {
      type         = "UserAssigned"
      identity_ids = [identity.value]
    }
  }

  capabilities {
    name = "EnableServerless"
  }

  consistency_policy {
    consistency_level = "Session"
  }

  geo_location {
    location          = var.location
    failover_priority = 0
  }

  backup {
    type = "Continuous"
    tier = "Continuous7Days"
  }
}

resource "azurerm_cosmosdb_sql_database" "hot" {
  count = local.makes_database ? 1 : 0

  name                = var.store.database
  resource_group_name = local.group
  account_name        = var.store.account

  depends_on = [azurerm_cosmosdb_account.hot]
}

resource "azurerm_cosmosdb_sql_container" "hot" {
  count = local.makes_container ? 1 : 0

  name                  = var.store.container
  resource_group_name   = local.group
  account_name          = var.store.account
  database_name         = var.store.database
  partition_key_kind    = "Hash"
  partition_key_paths   = [var.store.partition_key]
  partition_key_version = 2

  depends_on = [azurerm_cosmosdb_sql_database.hot]
}

resource "azurerm_cosmosdb_sql_role_assignment" "read" {
  count = var.store == null ? 0 : 1

  resource_group_name = local.group
  account_name        = var.store.account
  role_definition_id  = local.data_reader
  principal_id        = azurerm_user_assigned_identity.functions.principal_id
  scope               = local.container_id

  depends_on = [azurerm_cosmosdb_sql_container.hot]
}

# Protects what holds data when all is destroyed, for Cosmos DB has no
# protection of its own that a destroy would not take away first.
resource "terraform_data" "keep" {
  count = local.makes_container ? 1 : 0

  # Another account would take the data of this one with it.
  triggers_replace = azurerm_cosmosdb_account.hot[*].id

  input = { keep = var.keep_store, container = local.container_id }

  provisioner "local-exec" {
    when        = destroy
    interpreter = ["hotreader", "store", "keep"]
    command     = self.input.container
    environment = { HOTREADER_KEEP_STORE = tostring(self.input.keep) }
  }

  depends_on = [azurerm_cosmosdb_sql_container.hot]
}
