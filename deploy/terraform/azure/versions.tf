terraform {
  required_version = ">= 1.11.0" # write-only arguments

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 5.2"
    }
  }
}

data "azurerm_client_config" "current" {}
