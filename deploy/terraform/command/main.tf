# A group as Terraform declares it, by the command line: nothing but Terraform and inventor is needed.
#   INVENTOR_URL=http://localhost:9101 INVENTOR_TOKEN=... terraform apply
locals {
  group = "probes"
  probes = [
    { targets = ["https://example.com"], labels = { module = "http_2xx" } },
    { targets = ["https://example.org"], labels = { module = "http_2xx" } },
  ]
}

# The group as such, which goes when it is destroyed.
resource "terraform_data" "group" {
  input = local.group

  provisioner "local-exec" {
    when        = destroy
    command     = "printf '[]' | inventor sync --group \"$GROUP\" --allow-empty -"
    environment = { GROUP = self.input }
  }
}

# What is in it. A change is made in one step: nothing is gone in between.
resource "terraform_data" "probes" {
  triggers_replace = [terraform_data.group.id, jsonencode(local.probes)]

  provisioner "local-exec" {
    command     = "printf %s \"$PROBES\" | inventor sync --group \"$GROUP\" -"
    environment = { GROUP = terraform_data.group.output, PROBES = jsonencode(local.probes) }
  }
}
