# The confirmation site behind Google's HTTPS load balancer, with a certificate of Google and rate limits of Cloud Armor.
# It is the only part that customers can reach.

locals {
  # Address ranges of Google's front ends and health checks.
  load_balancer_ranges = ["35.191.0.0/16", "130.211.0.0/22"]

  site_zones = local.run_site ? [] : local.production ? slice(var.zones, 0, 2) : slice(var.zones, 0, 1)

  site_environment = merge(local.client_environment, {
    FRAUDSTREAM_KAFKA_SASL_USERNAME = "site"
    # The load balancer appends two entries to X-Forwarded-For: the client's address and its own.
    FRAUDSTREAM_CONFIRMATION_TRUSTED_PROXIES = join(",", concat(local.load_balancer_ranges, [google_compute_global_address.site.address]))
  })
}

module "site" {
  source   = "./modules/group"
  for_each = toset(local.site_zones)

  project         = var.project
  name            = "site-${each.value}"
  role            = "site"
  zone            = each.value
  machine_type    = local.sized.site
  health          = { port = 8086, path = "/health/live" }
  named_ports     = { http = 8085 }
  subnetwork      = google_compute_subnetwork.main.id
  service_account = google_service_account.role["site"].email
  operators       = var.operators
  public_key      = local.public_key
  image           = local.image
  labels          = local.labels
  release         = "${google_storage_bucket.release.name}/${google_storage_bucket_object.release.name}"

  environment = merge(local.site_environment, { SITE_IMAGE = try(var.images.site, "") })

  secrets = {
    confirmation_keys   = google_secret_manager_secret.generated["confirmation_keys"].id
    "kafka_ca.pem"      = google_secret_manager_secret.ca.id
    kafka_sasl_password = google_secret_manager_secret.generated["kafka_site_password"].id
  }

  depends_on = [terraform_data.before_boot]
}

resource "google_compute_health_check" "site" {
  count = local.run_site ? 0 : 1

  name                = "fraudstream-site"
  check_interval_sec  = 10
  timeout_sec         = 5
  healthy_threshold   = 2
  unhealthy_threshold = 3

  http_health_check {
    port         = 8086
    request_path = "/health/ready"
  }

  log_config {
    enable = true
  }

  depends_on = [google_project_service.needed]
}

resource "google_compute_security_policy" "site" {
  name        = "fraudstream-site"
  description = "Rate limits of the confirmation site, and Google's rules against known attacks."

  # Blocks Log4Shell and similar attacks. The site isn't vulnerable, but scanners use up connections.
  rule {
    action   = "deny(403)"
    priority = 1000
    match {
      expr {
        expression = "evaluatePreconfiguredWaf('cve-canary')"
      }
    }
    description = "Known attacks"
  }

  rule {
    action   = "throttle"
    priority = 2000
    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }
    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"
      rate_limit_threshold {
        count        = 120
        interval_sec = 60
      }
    }
    description = "Everyone: at most 120 requests a minute and address"
  }

  # The default rule, which every policy must have.
  rule {
    action   = "allow"
    priority = 2147483647
    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }
    description = "The rest"
  }
}

resource "google_compute_backend_service" "site" {
  name                  = "fraudstream-site"
  protocol              = "HTTP"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  security_policy       = google_compute_security_policy.site.id
  # Not allowed with a Cloud Run backend, which has its own time limit and probes.
  port_name     = local.run_site ? null : "http"
  timeout_sec   = local.run_site ? null : 30
  health_checks = local.run_site ? null : google_compute_health_check.site[*].id

  dynamic "backend" {
    for_each = concat(
      [for machine in module.site : machine.instance_group],
      google_compute_region_network_endpoint_group.site[*].id,
    )
    content {
      group           = backend.value
      balancing_mode  = "UTILIZATION"
      capacity_scaler = 1
    }
  }

  log_config {
    # Off, because paths contain the links' tokens. The site's own log doesn't contain them.
    enable = false
  }
}

resource "google_compute_url_map" "site" {
  name            = "fraudstream-site"
  default_service = google_compute_backend_service.site.id
}

resource "google_compute_url_map" "to_https" {
  name = "fraudstream-to-https"

  default_url_redirect {
    https_redirect         = true
    redirect_response_code = "MOVED_PERMANENTLY_DEFAULT"
    strip_query            = false
  }

  depends_on = [google_project_service.needed]
}

# A certificate can't be changed, and can't be deleted while the proxy uses it. So another domain gets a certificate with
# another name before the old one is deleted. A name has at most 63 characters, so it contains a hash of the domain.
resource "google_compute_managed_ssl_certificate" "site" {
  name = "fraudstream-${substr(sha256(var.domain), 0, 12)}"

  managed {
    domains = [var.domain]
  }

  lifecycle {
    create_before_destroy = true
  }

  depends_on = [google_project_service.needed]
}

resource "google_compute_ssl_policy" "site" {
  name            = "fraudstream-site"
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"

  depends_on = [google_project_service.needed]
}

resource "google_compute_target_https_proxy" "site" {
  name             = "fraudstream-site"
  url_map          = google_compute_url_map.site.id
  ssl_certificates = [google_compute_managed_ssl_certificate.site.id]
  ssl_policy       = google_compute_ssl_policy.site.id
}

resource "google_compute_target_http_proxy" "to_https" {
  name    = "fraudstream-to-https"
  url_map = google_compute_url_map.to_https.id
}

resource "google_compute_global_address" "site" {
  name = "fraudstream-site"

  depends_on = [google_project_service.needed]
}

resource "google_compute_global_forwarding_rule" "https" {
  name                  = "fraudstream-https"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.site.id
  port_range            = "443"
  target                = google_compute_target_https_proxy.site.id
}

resource "google_compute_global_forwarding_rule" "http" {
  name                  = "fraudstream-http"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.site.id
  port_range            = "80"
  target                = google_compute_target_http_proxy.to_https.id
}
