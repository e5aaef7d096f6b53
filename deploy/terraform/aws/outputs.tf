output "url" {
  description = "The Hot Reader API's base; \"\" where there is none."
  value       = local.has_api ? aws_api_gateway_stage.prod["api"].invoke_url : ""
}

output "functions" {
  description = "The functions by role: name, id (ARN), url (\"\" unless it can be called)."
  value = {
    for role, f in aws_lambda_function.function : role => {
      name = f.function_name
      id   = f.arn
      url  = role == "hot-reader-api" && local.has_api ? aws_api_gateway_stage.prod["api"].invoke_url : ""
    }
  }
}

output "store" {
  description = "Hot storage's table; \"\" where it is on another cloud."
  value       = local.table_name == null ? "" : local.table_name
}

output "region" {
  value = local.region
}

output "workspace" {
  description = "The TwinMaker workspace; \"\" where the twin is on another cloud."
  value       = local.workspace_id
}

output "api_key_id" {
  description = "The API key's id, by which its owner can look it up; \"\" where there is none."
  value       = one(concat([for k in aws_api_gateway_api_key.api : k.id], local.has_api && var.api_key ? [] : [""]))
}
