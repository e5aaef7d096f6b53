output "url" {
  description = "What the other cloud, or the user, calls."
  value       = "https://${local.host}"
  depends_on  = [terraform_data.package]
}

output "functions" {
  description = "The functions by role. One app carries them all."
  value = {
    for role, name in var.functions : role => {
      name = name
      id   = azurerm_function_app_flex_consumption.app.id
      url  = "https://${local.host}"
    }
  }
}

output "store" {
  description = "Hot storage, if it is here."
  value       = var.store == null ? "" : "Cosmos DB container ${var.store.account}/${var.store.database}/${var.store.container}"
}

output "region" {
  value = var.location
}
