output "name" {
  description = "Name of the VM and of its group."
  value       = google_compute_per_instance_config.vm.name
}

output "zone" {
  description = "Zone of the VM."
  value       = google_compute_per_instance_config.vm.zone
}

output "address" {
  description = "Private address."
  value       = google_compute_address.private.address
}

output "instance_group" {
  description = "The instance group, for the backend of a load balancer."
  value       = google_compute_instance_group_manager.vm.instance_group
}

output "condition" {
  description = "Expression of an IAM condition that is true only for the VM, also after it is replaced."
  value       = local.condition
}
