# A group as Terraform declares it, by the command line: nothing but Terraform and inventor is needed.
#   INVENTOR_URL=http://localhost:9101 INVENTOR_TOKEN=... terraform apply
locals {
  group = "probes"
  probes = [
    { targets = ["https://example.com"], labels = { module = "http_2xx" } },
    { targets = ["https://example.org"], labels = { module = "http_2xx" } },
  ]
}

resource "terraform_data" "probes" {
  input            = { group = local.group }
  triggers_replace = jsonencode(local.probes)

  provisioner "local-exec" {
    command     = "printf %s \"$PROBES\" | inventor sync --group \"$GROUP\" -"
    environment = { GROUP = local.group, PROBES = jsonencode(local.probes) }
  }

  provisioner "local-exec" {
    when        = destroy
    command     = "printf '[]' | inventor sync --group \"$GROUP\" --allow-empty -"
    environment = { GROUP = self.input.group }
  }
}
