output "name" {
  description = "Name of the VM."
  value       = module.vm.name
}

output "zone" {
  description = "Zone of the VM."
  value       = module.vm.zone
}

output "instance_id" {
  description = "Number that logs and metrics know the VM by."
  value       = module.vm.instance_id
}
