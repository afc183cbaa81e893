//! Component versions: made from recipes, listed, read and deleted (cloud.md §1.3).

use super::public::{self, PublicComponent};
use super::tags::{self, Tags};
use super::tokens::Once;
use crate::Control;
use crate::fault::{Fault, Outcome, Refusal};
use crate::ports::ArtifactError;
use crate::request::{Call, listed, object, ok, seconds};
use crate::routes::Matched;
use crate::scope::Scope;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, HashMap};
use sward_aws_wire::api::ApiResponse;
use sward_model::{Arn, ComponentName, ComponentVersion};
use sward_recipe::{CloudFault, Format, Recipe, Scheme};
use sward_store::{Row, Tx, Value};

/// The account of public components.
const PUBLIC: &str = "aws";
const DEPLOYABLE: &str = "DEPLOYABLE";

/// A component version, stored or public.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) arn: Arn,
    pub(super) name: ComponentName,
    pub(super) version: ComponentVersion,
    pub(super) recipe: Recipe,
    format: Format,
    state: String,
    errors: BTreeMap<String, String>,
    created_ms: i64,
}

impl Version {
    fn read(scope: &Scope, row: &Row) -> Outcome<Self> {
        let text = row.text("recipe")?;
        let damaged = |error: String| {
            Fault::new(
                Refusal::Internal,
                format!("a stored recipe cannot be read: {error}"),
            )
        };
        let recipe = Recipe::parse(text.as_bytes(), Format::Json)
            .map_err(|error| damaged(error.to_string()))?;
        let format = match row.text("format")?.as_str() {
            "YAML" => Format::Yaml,
            _ => Format::Json,
        };
        Ok(Version {
            arn: Arn::component_version(
                &scope.region,
                &scope.account,
                &recipe.name,
                &recipe.version,
            ),
            name: recipe.name.clone(),
            version: recipe.version.clone(),
            recipe,
            format,
            state: row.text("state")?,
            errors: serde_json::from_str(&row.text("errors")?).unwrap_or_default(),
            created_ms: row.int("created_ms")?,
        })
    }

    pub(super) fn of_public(
        scope: &Scope,
        component: &PublicComponent,
        version: &ComponentVersion,
    ) -> Self {
        let recipe = component.recipe(version);
        Version {
            arn: public_arn(scope, &format!("{}:versions:{version}", component.name)),
            name: recipe.name.clone(),
            version: recipe.version.clone(),
            recipe,
            format: Format::Json,
            state: DEPLOYABLE.to_owned(),
            errors: BTreeMap::new(),
            created_ms: 0,
        }
    }

    pub(super) fn is_deployable(&self) -> bool {
        self.state == DEPLOYABLE
    }

    fn platforms(&self) -> Json {
        self.recipe
            .manifests
            .iter()
            .map(|manifest| {
                let attributes: serde_json::Map<String, Json> = manifest
                    .platform
                    .iter()
                    .filter_map(|(name, value)| Some((name.clone(), json!(value.as_ref()?))))
                    .collect();
                object([
                    ("name", manifest.name.clone().map(Json::from)),
                    ("attributes", Some(Json::Object(attributes))),
                ])
            })
            .collect()
    }
}

fn public_arn(scope: &Scope, rest: &str) -> Arn {
    Arn {
        partition: "aws".to_owned(),
        service: "greengrass".to_owned(),
        region: scope.region.to_string(),
        account: PUBLIC.to_owned(),
        resource: format!("components:{rest}"),
    }
}

pub(super) async fn call(
    control: &Control,
    call: &Call<'_>,
    matched: &Matched,
) -> Outcome<ApiResponse> {
    let arn = matched.arg(0);
    match matched.name {
        "CreateComponentVersion" => create(control, call).await,
        "DescribeComponent" => describe(control, call, arn).await,
        "GetComponent" => get(control, call, arn).await,
        "ListComponents" => list(control, call).await,
        "ListComponentVersions" => list_versions(control, call, arn).await,
        "DeleteComponent" => delete(control, call, arn).await,
        _ => Err(call.unknown()),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CreateBody {
    inline_recipe: Option<String>,
    lambda_function: Option<Json>,
    tags: Tags,
    client_token: Option<String>,
}

async fn create(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    let body: CreateBody = call.body()?;
    if body.lambda_function.is_some() {
        return Err(Fault::field(
            "lambdaFunction",
            "components are not made from Lambda functions yet",
        ));
    }
    let recipe = body
        .inline_recipe
        .ok_or_else(|| Fault::field("inlineRecipe", "inlineRecipe is missing"))?;
    let bytes = STANDARD
        .decode(recipe.as_bytes())
        .map_err(|_| Fault::field("inlineRecipe", "inlineRecipe is not base64"))?;
    let token = body.client_token.as_deref();
    let once = Once::new("CreateComponentVersion", token, &call.request.body)?;
    let scope = &call.scope;
    let (recipe, format) = Recipe::parse_for_cloud(&bytes).map_err(refused)?;
    if recipe.name.as_str().starts_with("aws.greengrass.")
        && public::find(recipe.name.as_str()).is_some()
    {
        tracing::info!(component = %recipe.name, "a private component hides a public one");
    }
    let (name, version) = (recipe.name.clone(), recipe.version.clone());
    {
        let mut tx = control.read().await?;
        if let Some(answer) = once.earlier(&mut tx, scope, control.now_ms()).await? {
            return Ok(answer);
        }
        refuse_existing(&mut tx, scope, &name, &version).await?;
    }
    let digests = digests(control, call, &recipe).await?;
    let recipe = recipe.with_digests(|artifact| digests.get(&artifact.uri).cloned());

    let now = control.now_ms();
    let arn = Arn::component_version(&scope.region, &scope.account, &name, &version).to_string();
    let mut tx = control.write().await?;
    // Somebody may have made the same version while the artifacts were read, or it was this very
    // call, repeated by a client that did not want to wait.
    if let Some(answer) = once.earlier(&mut tx, scope, now).await? {
        return Ok(answer);
    }
    refuse_existing(&mut tx, scope, &name, &version).await?;
    tx.execute(
        "INSERT INTO gg_components
         (account, region, name, version, recipe, format, state, errors, created_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, '{}', $8)",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            name.as_str().into(),
            version.as_str().into(),
            recipe.to_value().to_string().into(),
            format.as_str().into(),
            DEPLOYABLE.into(),
            now.into(),
        ],
    )
    .await?;
    tags::put(&mut tx, scope, &arn, &body.tags).await?;
    // What AWS answers, whatever follows: clients then poll DescribeComponent.
    let answer = json!({
        "arn": arn,
        "componentName": name.as_str(),
        "componentVersion": version.as_str(),
        "creationTimestamp": seconds(now),
        "status": { "componentState": "REQUESTED", "message": "NONE", "errors": {} },
    });
    once.keep(&mut tx, scope, &answer, now).await?;
    tx.commit().await?;
    tracing::info!(component = %name, version = %version, "component version made");
    Ok(ApiResponse::json(201, &answer))
}

/// A refused recipe names every field at fault.
fn refused(faults: Vec<CloudFault>) -> Fault {
    let fields: Vec<Json> = faults
        .iter()
        .map(|fault| json!({ "name": fault.field(), "message": fault.to_string() }))
        .collect();
    match faults.first() {
        Some(first) => Fault::of(Refusal::Invalid, first)
            .with("reason", "FIELD_VALIDATION_FAILED")
            .with("fields", fields),
        None => Fault::field("inlineRecipe", "the recipe is refused"),
    }
}

async fn refuse_existing(
    tx: &mut Tx,
    scope: &Scope,
    name: &ComponentName,
    version: &ComponentVersion,
) -> Outcome<()> {
    if stored(tx, scope, name.as_str(), version.as_str())
        .await?
        .is_none()
    {
        return Ok(());
    }
    let arn = Arn::component_version(&scope.region, &scope.account, name, version);
    Err(Fault::conflict(
        "COMPONENT_VERSION",
        &arn.to_string(),
        format!("component {name} version {version} exists already"),
    )
    .help("raise ComponentVersion, or delete that version first"))
}

/// The digest of every artifact that is an object, read with the caller's rights.
async fn digests(
    control: &Control,
    call: &Call<'_>,
    recipe: &Recipe,
) -> Outcome<HashMap<String, String>> {
    let mut digests = HashMap::new();
    let mut errors: Vec<(String, ArtifactError)> = Vec::new();
    for (_, artifact) in recipe.artifacts() {
        match artifact.scheme() {
            Scheme::S3 { .. } => {}
            Scheme::Greengrass { .. } => {
                return Err(Fault::field(
                    "inlineRecipe",
                    format!("artifact {} is not in a bucket", artifact.uri),
                )
                .help("upload it to a bucket and write s3://BUCKET/KEY"));
            }
            _ => continue,
        }
        if digests.contains_key(&artifact.uri) || errors.iter().any(|(uri, _)| *uri == artifact.uri)
        {
            continue;
        }
        let reader = &control.ports().artifacts;
        match reader.digest(call.caller, &artifact.uri).await {
            Ok(digest) => {
                digests.insert(artifact.uri.clone(), STANDARD.encode(digest.sha256));
            }
            Err(error @ ArtifactError::Unavailable { .. }) => {
                return Err(Fault::of(Refusal::Unavailable, &error));
            }
            Err(error) => errors.push((artifact.uri.clone(), error)),
        }
    }
    if errors.is_empty() {
        return Ok(digests);
    }
    // The words of AWS's refusal; users search for them.
    let inaccessible: Vec<String> = errors
        .iter()
        .map(|(uri, _)| format!("{uri} = Specified artifact resource cannot be accessed"))
        .collect();
    let message = format!(
        "Invalid Input: Encountered following errors in Artifacts: {{{}}}",
        inaccessible.join(", ")
    );
    let fields: Vec<Json> = errors
        .iter()
        .map(|(uri, error)| {
            let detail = match error {
                ArtifactError::Inaccessible { detail } | ArtifactError::Unavailable { detail } => {
                    detail
                }
            };
            json!({ "name": uri, "message": detail })
        })
        .collect();
    Err(Fault::new(Refusal::Invalid, message)
        .with("reason", "FIELD_VALIDATION_FAILED")
        .with("fields", fields))
}

/// The stored version of that name.
pub(super) async fn stored(
    tx: &mut Tx,
    scope: &Scope,
    name: &str,
    version: &str,
) -> Outcome<Option<Version>> {
    let row = tx
        .optional(
            "SELECT * FROM gg_components
             WHERE account = $1 AND region = $2 AND name = $3 AND version = $4",
            &[
                scope.account.as_str().into(),
                scope.region.as_str().into(),
                name.into(),
                version.into(),
            ],
        )
        .await?;
    row.as_ref()
        .map(|row| Version::read(scope, row))
        .transpose()
}

/// All private versions of a component, newest first.
pub(super) async fn private_versions(
    tx: &mut Tx,
    scope: &Scope,
    name: &str,
) -> Outcome<Vec<Version>> {
    let mut versions = tx
        .all(
            "SELECT * FROM gg_components WHERE account = $1 AND region = $2 AND name = $3",
            &[
                scope.account.as_str().into(),
                scope.region.as_str().into(),
                name.into(),
            ],
        )
        .await?
        .iter()
        .map(|row| Version::read(scope, row))
        .collect::<Outcome<Vec<_>>>()?;
    versions.sort_by(|a, b| b.version.cmp(&a.version));
    Ok(versions)
}

/// An ARN of a component, taken apart.
struct Named {
    public: bool,
    name: ComponentName,
    version: Option<ComponentVersion>,
}

fn named(scope: &Scope, text: &str) -> Outcome<Named> {
    let arn: Arn = text
        .parse()
        .map_err(|error| Fault::field("arn", format!("{error}")))?;
    let Some((name, version)) = arn.as_component() else {
        return Err(Fault::field(
            "arn",
            format!("{text} is not the ARN of a component"),
        ));
    };
    let public = arn.account == PUBLIC;
    if arn.region != scope.region.as_str() || !(public || arn.account == scope.account.as_str()) {
        return Err(Fault::not_found("COMPONENT_VERSION", text));
    }
    Ok(Named {
        public,
        name,
        version,
    })
}

/// The version that an ARN with a version names.
pub(super) async fn by_arn(tx: &mut Tx, scope: &Scope, text: &str) -> Outcome<Version> {
    let named = named(scope, text)?;
    let Some(version) = &named.version else {
        return Err(Fault::field("arn", format!("{text} names no version")));
    };
    let found = if named.public {
        public::find(named.name.as_str())
            .filter(|component| component.answers_to(version))
            .map(|component| Version::of_public(scope, component, version))
    } else {
        stored(tx, scope, named.name.as_str(), version.as_str()).await?
    };
    found.ok_or_else(|| Fault::not_found("COMPONENT_VERSION", text))
}

async fn describe(control: &Control, call: &Call<'_>, arn: &str) -> Outcome<ApiResponse> {
    let mut tx = control.read().await?;
    let version = by_arn(&mut tx, &call.scope, arn).await?;
    let tags = tags::get(&mut tx, &call.scope, &version.arn.to_string()).await?;
    Ok(ok(object([
        ("arn", Some(json!(version.arn.to_string()))),
        ("componentName", Some(json!(version.name.as_str()))),
        ("componentVersion", Some(json!(version.version.as_str()))),
        ("creationTimestamp", Some(seconds(version.created_ms))),
        (
            "publisher",
            version.recipe.publisher.clone().map(Json::from),
        ),
        (
            "description",
            version.recipe.description.clone().map(Json::from),
        ),
        (
            "status",
            Some(json!({
                "componentState": version.state,
                "message": "NONE",
                "errors": version.errors,
                "vendorGuidance": "ACTIVE",
            })),
        ),
        ("platforms", Some(version.platforms())),
        ("tags", Some(json!(tags))),
    ])))
}

async fn get(control: &Control, call: &Call<'_>, arn: &str) -> Outcome<ApiResponse> {
    let mut tx = control.read().await?;
    let version = by_arn(&mut tx, &call.scope, arn).await?;
    let format = match call.query("recipeOutputFormat") {
        None => version.format,
        Some("JSON") => Format::Json,
        Some("YAML") => Format::Yaml,
        Some(other) => {
            return Err(Fault::field(
                "recipeOutputFormat",
                format!("\"{other}\" is not JSON or YAML"),
            ));
        }
    };
    let tags = tags::get(&mut tx, &call.scope, &version.arn.to_string()).await?;
    Ok(ok(json!({
        "recipeOutputFormat": format.as_str(),
        "recipe": STANDARD.encode(version.recipe.to_text(format)),
        "tags": tags,
    })))
}

async fn list(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    let page = call.page(&["maxResults"], &["nextToken"], 100, 100)?;
    let scope = &call.scope;
    let latest: Vec<Version> = match call.query("scope") {
        Some("PUBLIC") => public::all()
            .iter()
            .map(|component| Version::of_public(scope, component, &component.newest()))
            .collect(),
        None | Some("PRIVATE") => {
            let mut tx = control.read().await?;
            let names = tx
                .all(
                    "SELECT DISTINCT name FROM gg_components
                     WHERE account = $1 AND region = $2 ORDER BY name",
                    &[scope.account.as_str().into(), scope.region.as_str().into()],
                )
                .await?;
            let mut latest = Vec::new();
            for row in &names {
                let versions = private_versions(&mut tx, scope, &row.text("name")?).await?;
                latest.extend(versions.into_iter().find(Version::is_deployable));
            }
            latest
        }
        Some(other) => {
            return Err(Fault::field(
                "scope",
                format!("\"{other}\" is not PRIVATE or PUBLIC"),
            ));
        }
    };
    let (part, token) = page.cut(latest, |version| version.name.to_string());
    let items = part
        .iter()
        .map(|version| {
            let text = version.arn.to_string();
            let of_component = text.split(":versions:").next().unwrap_or(&text);
            json!({
                "arn": of_component,
                "componentName": version.name.as_str(),
                "latestVersion": object([
                    ("arn", Some(json!(text))),
                    ("componentVersion", Some(json!(version.version.as_str()))),
                    ("creationTimestamp", Some(seconds(version.created_ms))),
                    ("description", version.recipe.description.clone().map(Json::from)),
                    ("publisher", version.recipe.publisher.clone().map(Json::from)),
                    ("platforms", Some(version.platforms())),
                ]),
            })
        })
        .collect();
    Ok(listed("components", items, "nextToken", token))
}

async fn list_versions(control: &Control, call: &Call<'_>, arn: &str) -> Outcome<ApiResponse> {
    let page = call.page(&["maxResults"], &["nextToken"], 100, 100)?;
    let scope = &call.scope;
    let named = named(scope, arn)?;
    // An unknown component has no versions: the GDK counts on an empty list.
    let versions: Vec<(ComponentVersion, Arn)> = if named.public {
        public::find(named.name.as_str())
            .map(|component| Version::of_public(scope, component, &component.newest()))
            .map(|version| (version.version, version.arn))
            .into_iter()
            .collect()
    } else {
        let mut tx = control.read().await?;
        private_versions(&mut tx, scope, named.name.as_str())
            .await?
            .into_iter()
            .map(|version| (version.version, version.arn))
            .collect()
    };
    let (part, token) = page.cut(versions, |(version, _)| version.to_string());
    let items = part
        .iter()
        .map(|(version, arn)| {
            json!({
                "componentName": named.name.as_str(),
                "componentVersion": version.as_str(),
                "arn": arn.to_string(),
            })
        })
        .collect();
    Ok(listed("componentVersions", items, "nextToken", token))
}

async fn delete(control: &Control, call: &Call<'_>, arn: &str) -> Outcome<ApiResponse> {
    let scope = &call.scope;
    if named(scope, arn)?.public {
        return Err(Fault::denied("greengrass:DeleteComponent", arn)
            .help("public components cannot be deleted"));
    }
    let mut tx = control.write().await?;
    let version = by_arn(&mut tx, scope, arn).await?;
    tx.execute(
        "DELETE FROM gg_components
         WHERE account = $1 AND region = $2 AND name = $3 AND version = $4",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            version.name.as_str().into(),
            Value::from(version.version.as_str()),
        ],
    )
    .await?;
    tags::clear(&mut tx, scope, &version.arn.to_string()).await?;
    tx.commit().await?;
    tracing::info!(component = %version.name, version = %version.version, "component version deleted");
    Ok(ApiResponse::empty(204))
}
