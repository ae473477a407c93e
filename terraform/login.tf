# Who may log in to Airflow. With `airflow_login` each person does so with their Google account (docker's FAB auth manager,
# include/airflow/webserver_config.py), and no password of Airflow exists. Without it, for a trial: the user admin.

locals {
  own_logins = var.airflow_login != null
  # What the API server's VM reads, by the name of its file.
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

# People reach Airflow's page through a tunnel to its port, and nothing else of the VM, unless they are operators too.
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
