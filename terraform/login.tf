# Logins of Airflow. With `airflow_login` users log in with their Google accounts (FAB's auth manager,
# include/airflow/webserver_config.py), and Airflow has no passwords. Without it, for a trial, there is the user admin.

locals {
  own_logins = var.airflow_login != null
  # The secret for the API server's VM, by the name of its file.
  login_secret = (
    local.own_logins
    ? { login_client_secret = google_secret_manager_secret.login[0].id }
    : { airflow_admin_password = google_secret_manager_secret.generated["airflow_admin_password"].id }
  )
}

resource "google_secret_manager_secret" "login" {
  count = local.own_logins ? 1 : 0

  secret_id = "fraudstream-airflow-login"
  labels    = local.labels

  replication {
    auto {}
  }

  depends_on = [google_project_service.needed]
}

resource "google_secret_manager_secret_version" "login" {
  count = local.own_logins ? 1 : 0

  secret                 = google_secret_manager_secret.login[0].id
  secret_data_wo         = var.airflow_login_secret
  secret_data_wo_version = var.secrets_version.login
  deletion_policy        = "ABANDON"
}

# Lets users open a tunnel to the port of Airflow's page. Only operators reach other ports of the VM.
resource "google_iap_tunnel_iam_member" "airflow_users" {
  for_each = local.own_logins ? var.airflow_login.users : {}

  role   = "roles/iap.tunnelResourceAccessor"
  member = "user:${each.key}"

  condition {
    title      = "Airflow's page"
    expression = "destination.ip == \"${module.airflow.address}\" && destination.port == 8080"
  }
}

# gcloud looks the VM up before it opens the tunnel.
resource "google_project_iam_custom_role" "see_vm" {
  role_id     = "fraudstreamSeeVm"
  title       = "fraudstream: look up a VM"
  permissions = ["compute.instances.get"]

  depends_on = [google_project_service.needed]
}

resource "google_project_iam_member" "airflow_users" {
  for_each = local.own_logins ? var.airflow_login.users : {}

  project = var.project
  role    = google_project_iam_custom_role.see_vm.id
  member  = "user:${each.key}"

  condition {
    title      = "VM airflow"
    expression = module.airflow.condition
  }
}
