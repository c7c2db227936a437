# A group as a resource, by the generic REST provider: created, changed and deleted as a whole.
#   INVENTOR_URL=http://localhost:9101 TF_VAR_inventor_token=... terraform apply
terraform {
  required_providers {
    restapi = {
      source = "Mastercard/restapi"
    }
  }
}

variable "inventor_url" {
  type    = string
  default = "http://localhost:9101"
}

variable "inventor_token" {
  type      = string
  sensitive = true
}

provider "restapi" {
  uri                  = var.inventor_url
  write_returns_object = false
  headers = {
    Authorization = "Bearer ${var.inventor_token}"
    Content-Type  = "application/json"
  }
  create_method = "PUT"
}

locals {
  # By id on the server; the order here is free.
  probes = [
    { targets = ["https://example.com"], labels = { module = "http_2xx" } },
    { targets = ["https://example.org"], labels = { module = "http_2xx" } },
  ]
}

resource "restapi_object" "probes" {
  path         = "/api/v1/groups"
  object_id    = "probes"
  create_path  = "/api/v1/groups/{id}"
  read_path    = "/api/v1/groups/{id}"
  update_path  = "/api/v1/groups/{id}"
  destroy_path = "/api/v1/groups/{id}"
  data         = jsonencode(local.probes)
}
