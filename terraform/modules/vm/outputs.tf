output "name" {
  description = "Name of the VM."
  value       = google_compute_instance.vm.name
}

output "zone" {
  description = "Zone of the VM."
  value       = google_compute_instance.vm.zone
}
