terraform {
  # 1.11 introduced write-only arguments, which keep generated secrets out of the state.
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 7.41"
    }
    random = {
      source  = "hashicorp/random"
      version = "~> 3.7"
    }
    archive = {
      source  = "hashicorp/archive"
      version = "~> 2.7"
    }
  }
}

provider "google" {
  project     = var.project
  region      = var.region
  credentials = var.credentials_project == "" ? null : file(pathexpand(var.credentials_project))
}
