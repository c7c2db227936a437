# A group as a resource, by a generic REST provider. The body of a group is an array, which not every such provider can
# send: Mastercard/restapi cannot.
#   TF_VAR_inventor_token=... terraform apply
terraform {
  required_providers {
    restful = {
      source = "magodo/restful"
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

provider "restful" {
  base_url = var.inventor_url
  security = {
    http = {
      token = {
        token = var.inventor_token
      }
    }
  }
}

resource "restful_resource" "probes" {
  path          = "/api/v1/groups/probes"
  create_method = "PUT"
  body = [
    { targets = ["https://example.com"], labels = { module = "http_2xx" } },
    { targets = ["https://example.org"], labels = { module = "http_2xx" } },
  ]
}
