# frozen_string_literal: true

# The table of settings is complete, and says nothing that is not there.
RSpec.describe "README.md" do
  it "lists every setting" do
    text = File.read(File.expand_path("../../README.md", __dir__))
    table = text[/^## Settings.*?^## /m]
    named = table.scan(/^\| ((?:`\w+`(?:, )?)+) \|/).flatten.flat_map { |cell| cell.scan(/\w+/) }
    settings = Tenantry::Configuration.instance_methods(false).grep(/\A\w+=\z/).map do |name|
      name.to_s.delete_suffix("=")
    end
    expect(named).to match_array(settings)
  end
end
