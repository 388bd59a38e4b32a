//! Facts of the platform that no type of the compiler has: what built-in roles are called, and what compute sizes bear.

/// Built-in roles that may be assigned.
pub const ROLES: [(&str, &str); 13] = [
    ("b7e6dc6d-f1e8-4753-8033-0f276bb0955b", "Storage Blob Data Owner"),
    ("ba92f5b4-2d11-453d-a403-e96b0029c9fe", "Storage Blob Data Contributor"),
    ("db58b8e5-c6ad-4a2a-8342-4190687cbf4a", "Storage Blob Delegator"),
    ("19e7f393-937e-4f77-808e-94535e297925", "Storage Queue Data Reader"),
    ("8a0f0c08-91a1-4084-bc3d-661d67233fed", "Storage Queue Data Message Processor"),
    ("c6a89b2d-59bc-44d0-9896-0f6e12d7b80a", "Storage Queue Data Message Sender"),
    ("0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3", "Storage Table Data Contributor"),
    ("3913510d-42f4-4e42-8a64-420c390055eb", "Monitoring Metrics Publisher"),
    ("4633458b-17de-408a-b874-0445c86b69e6", "Key Vault Secrets User"),
    ("b86a8fe4-44ce-4948-aee5-eccb2c155cd7", "Key Vault Secrets Officer"),
    ("acdd72a7-3385-48ef-bd42-f606fba81ae7", "Reader"),
    ("b24988ac-6180-42a0-ab88-20f7382dd24c", "Contributor"),
    ("f58310d9-a9f6-439a-9e8d-f62e7b41a168", "Role Based Access Control Administrator"),
];

/// Compute sizes of Postgres that a preset may name: tier and connections left to users.
pub const POSTGRES_SKUS: [(&str, &str, u32); 11] = [
    ("Standard_B1ms", "Burstable", 35),
    ("Standard_B2s", "Burstable", 414),
    ("Standard_B2ms", "Burstable", 844),
    ("Standard_D2s_v3", "GeneralPurpose", 844),
    ("Standard_D2ds_v4", "GeneralPurpose", 844),
    ("Standard_D2ds_v5", "GeneralPurpose", 844),
    ("Standard_D2ads_v5", "GeneralPurpose", 844),
    ("Standard_D4ds_v4", "GeneralPurpose", 1703),
    ("Standard_D4ds_v5", "GeneralPurpose", 1703),
    ("Standard_D4ads_v5", "GeneralPurpose", 1703),
    ("Standard_E2ds_v5", "MemoryOptimized", 1703),
];
