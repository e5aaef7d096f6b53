# The function app: Flex Consumption with a custom handler.

resource "azurerm_storage_account" "app" {
  name                            = var.names.storage
  resource_group_name             = local.group
  location                        = var.location
  account_kind                    = "StorageV2"
  account_tier                    = "Standard"
  account_replication_type        = "LRS"
  min_tls_version                 = "TLS1_2"
  https_traffic_only_enabled      = true
  shared_access_key_enabled       = false
  default_to_oauth_authentication = true
  local_user_enabled              = false
  allow_nested_items_to_be_public = false

  blob_properties {
    versioning_enabled = true

    delete_retention_policy {
      days = 7
    }
  }

  dynamic "identity" {
    for_each = var.vault_key_identity[*]

    content {
      type         = "UserAssigned"
      identity_ids = [identity.value]
    }
  }

  dynamic "customer_managed_key" {
    for_each = var.vault_key[*]

    content {
      key_vault_key_id          = customer_managed_key.value
      user_assigned_identity_id = var.vault_key_identity
    }
  }
}

resource "azurerm_storage_container" "package" {
  name                  = "package"
  storage_account_id    = azurerm_storage_account.app.id
  container_access_type = "private"
}

# What the Functions host keeps for itself, by the functions' identity: not the package.
resource "azurerm_storage_container" "host" {
  for_each = local.host_containers

  name                  = each.value
  storage_account_id    = azurerm_storage_account.app.id
  container_access_type = "private"
}

resource "azurerm_role_assignment" "storage" {
  for_each = local.host_containers

  scope                = "${azurerm_storage_account.app.id}/blobServices/default/containers/${each.value}"
  role_definition_name = "Storage Blob Data Owner"
  principal_id         = azurerm_user_assigned_identity.functions.principal_id
  principal_type       = "ServicePrincipal"

  depends_on = [azurerm_storage_container.host]
}

resource "azurerm_role_assignment" "package" {
  scope                = azurerm_storage_container.package.id
  role_definition_name = "Storage Blob Data Contributor"
  principal_id         = azurerm_user_assigned_identity.package.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_log_analytics_workspace" "app" {
  name                = var.names.logs
  resource_group_name = local.group
  location            = var.location
  sku                 = "PerGB2018"
  retention_in_days   = var.log_days
}

resource "azurerm_application_insights" "app" {
  name                         = var.names.insights
  resource_group_name          = local.group
  location                     = var.location
  application_type             = "web"
  workspace_id                 = azurerm_log_analytics_workspace.app.id
  local_authentication_enabled = false # its key alone is no right to write
}

resource "azurerm_role_assignment" "insights" {
  scope                = azurerm_application_insights.app.id
  role_definition_name = "Monitoring Metrics Publisher"
  principal_id         = azurerm_user_assigned_identity.functions.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_service_plan" "app" {
  name                = var.names.plan
  resource_group_name = local.group
  location            = var.location
  os_type             = "Linux"
  sku_name            = "FC1"
}

resource "azurerm_function_app_flex_consumption" "app" {
  name                = var.names.app
  resource_group_name = local.group
  location            = var.location
  service_plan_id     = azurerm_service_plan.app.id

  runtime_name           = "custom"
  runtime_version        = "1.0"
  instance_memory_in_mb  = var.memory_mb
  maximum_instance_count = var.max_instances
  http_concurrency       = var.memory_mb / 128 # requests at once; some have the largest answer

  storage_container_type            = "blobContainer"
  storage_container_endpoint        = "${azurerm_storage_account.app.primary_blob_endpoint}${azurerm_storage_container.package.name}"
  storage_authentication_type       = "UserAssignedIdentity"
  storage_user_assigned_identity_id = azurerm_user_assigned_identity.package.id

  # There is no FTP on this plan; without passwords, what publishes signs in.
  https_only                                     = true
  webdeploy_publish_basic_authentication_enabled = false

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.functions.id, azurerm_user_assigned_identity.package.id]
  }

  site_config {
    application_insights_connection_string = azurerm_application_insights.app.connection_string
    http2_enabled                          = true
    minimum_tls_version                    = "1.2"
    scm_minimum_tls_version                = "1.2"

    # Publishing has an address of its own.
    ip_restriction_default_action = length(var.allowed_ips) == 0 ? "Allow" : "Deny"

    dynamic "ip_restriction" {
      for_each = var.allowed_ips

      content {
        name       = "allowed-${ip_restriction.key}"
        priority   = 100
        action     = "Allow"
        ip_address = ip_restriction.value
      }
    }
  }

  app_settings = merge(
    var.environment,
    local.store_environment,
    var.remote_url == "" ? {} : { REMOTE_READER_URL = var.remote_url },
    var.lower_urls,
    local.identity_environment,
    local.token_environment,
    {
      AZURE_CLIENT_ID = azurerm_user_assigned_identity.functions.client_id

      # Every path is the API's.
      AzureWebJobsDisableHomepage = "true"

      APPLICATIONINSIGHTS_AUTHENTICATION_STRING = "ClientId=${azurerm_user_assigned_identity.functions.client_id};Authorization=AAD"
      AzureWebJobsStorage__accountName          = azurerm_storage_account.app.name
      AzureWebJobsStorage__credential           = "managedidentity"
      AzureWebJobsStorage__clientId             = azurerm_user_assigned_identity.functions.client_id

      # The provider adds AzureWebJobsStorage, a connection string without a key,
      # which the host would prefer to the identity, unless the setting is given;
      # and it leaves the setting out of what it reads back, so that each plan
      # would change it. It does the first by name in any letter case, the
      # second by the exact name, and for the host all cases are one.
      AZUREWEBJOBSSTORAGE = ""
    },
  )

  # What the functions need when they start first.
  depends_on = [
    azurerm_role_assignment.storage,
    azurerm_role_assignment.package,
    azurerm_role_assignment.insights,
    azurerm_role_assignment.token_read,
    azurerm_role_assignment.page_key_read,
    azurerm_role_assignment.caller_read,
    azurerm_cosmosdb_sql_role_assignment.read,
    azurerm_role_assignment.objects,
  ]
}

locals {
  # The host's locks, and its keys, which no route asks for.
  host_containers = toset(["azure-webjobs-hosts", "azure-webjobs-secrets"])

  # APP[-HASH.REGION-NN].azurewebsites.net is published to at APP….scm.…
  host      = azurerm_function_app_flex_consumption.app.default_hostname
  publisher = "https://${replace(local.host, "/^([^.]+)\\./", "$1.scm.")}"
}

# zip_deploy_file speaks to an address that Flex Consumption does not have.
resource "terraform_data" "package" {
  triggers_replace = [filesha256(var.package), azurerm_function_app_flex_consumption.app.id]

  provisioner "local-exec" {
    interpreter = ["hotreader", "app", "push"]
    command     = var.package
    environment = { HOTREADER_PUBLISH_URL = local.publisher }
  }

  lifecycle {
    replace_triggered_by = [azurerm_storage_container.package.id]
  }
}
