# Where everything is, and the functions' identity.

resource "azurerm_resource_group" "hotreader" {
  count = var.resource_group.create ? 1 : 0

  name     = var.resource_group.name
  location = var.location
}

locals {
  # Where the group is made here, what is in it waits for it.
  group = one(concat(azurerm_resource_group.hotreader[*].name, var.resource_group.create ? [] : [var.resource_group.name]))
}

resource "azurerm_user_assigned_identity" "functions" {
  name                = var.names.identity
  resource_group_name = local.group
  location            = var.location
}

# Publishes the app's package, and starts it from there. The functions are not it.
resource "azurerm_user_assigned_identity" "package" {
  name                = "${var.names.identity}-package"
  resource_group_name = local.group
  location            = var.location
}
