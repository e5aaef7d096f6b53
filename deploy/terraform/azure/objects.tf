# Cold storage and the archive: blobs that are there, and are read only.

locals {
  blobs = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
}

resource "azurerm_role_assignment" "objects" {
  for_each = { for o in var.objects : "${o.account}/${o.container}/${o.prefix}" => o }

  scope = join("", [
    "/subscriptions/${data.azurerm_client_config.current.subscription_id}",
    "/resourceGroups/${coalesce(each.value.resource_group, var.resource_group.name)}",
    "/providers/Microsoft.Storage/storageAccounts/${each.value.account}",
    "/blobServices/default/containers/${each.value.container}",
  ])
  role_definition_name = "Storage Blob Data Reader"
  principal_id         = azurerm_user_assigned_identity.functions.principal_id
  principal_type       = "ServicePrincipal"

  condition_version = each.value.prefix == "" ? null : "2.0"
  condition = each.value.prefix == "" ? null : join(" ", [
    "((!(ActionMatches{'${local.blobs}/read'} AND NOT SubOperationMatches{'Blob.List'}))",
    "OR (@Resource[${local.blobs}:path] StringStartsWith '${each.value.prefix}'))",
    "AND ((!(ActionMatches{'${local.blobs}/read'} AND SubOperationMatches{'Blob.List'}))",
    "OR (@Request[${local.blobs}:prefix] StringStartsWith '${each.value.prefix}'))",
  ])
}
