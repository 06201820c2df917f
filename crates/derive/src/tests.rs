//! The messages of what is refused, on token streams: the compiler is not needed to see them.

use quote::quote;
use syn::DeriveInput;

use crate::expand::expand;
use crate::model::snake_case;

fn refusal(tokens: proc_macro2::TokenStream) -> String {
    let input: DeriveInput = syn::parse2(tokens).unwrap();
    expand(&input).unwrap_err().to_string()
}

/// The refusal of a shared model with these fields.
fn field_refusal(fields: proc_macro2::TokenStream) -> String {
    refusal(quote! { #[sync(shared)] struct Tag { #fields } })
}

/// The refusal of a model with these attributes.
fn model_refusal(attrs: proc_macro2::TokenStream) -> String {
    refusal(quote! { #attrs struct Tag { id: Uuid, name: String, hue: i64 } })
}

#[test]
fn names_follow_from_the_struct() {
    for (name, expected) in [
        ("Tag", "tag"),
        ("UserMetadata", "user_metadata"),
        ("HTTPServer", "http_server"),
        ("Sha256Sum", "sha256_sum"),
        ("Entry2", "entry2"),
        ("already_snake", "already_snake"),
        ("Mixed_Case", "mixed_case"),
        ("A", "a"),
    ] {
        assert_eq!(snake_case(name), expected);
    }
}

#[test]
fn an_embedder_needs_no_other_crate() {
    let input: DeriveInput = syn::parse2(quote! {
        #[sync(shared)]
        struct Tag { id: Uuid, name: String }
    })
    .unwrap();
    let text = expand(&input).unwrap().to_string();
    assert!(text.contains("impl :: driftless :: core :: schema :: Syncable for Tag"), "{text}");
    assert!(!text.contains("driftless_core"), "{text}");
}

#[test]
fn only_plain_structs_are_models() {
    let only = "only a struct with named fields can be a model";
    assert_eq!(refusal(quote! { #[sync(shared)] enum Tag { A } }), only);
    assert_eq!(refusal(quote! { #[sync(shared)] union Tag { a: u8 } }), only);
    assert_eq!(refusal(quote! { #[sync(shared)] struct Tag(Uuid); }), only);
    assert_eq!(refusal(quote! { #[sync(shared)] struct Tag; }), only);
    let generic = refusal(quote! { #[sync(shared)] struct Tag<T> { id: Uuid, name: T } });
    assert!(generic.contains("no generic parameters"), "{generic}");
}

#[test]
fn a_model_is_of_one_kind() {
    assert!(model_refusal(quote! {}).contains("say who writes this model"));
    assert!(model_refusal(quote! { #[sync(name = "t")] }).contains("say who writes this model"));
    let two = "a model is one of `owned`, `shared` and `link`; keep one";
    assert_eq!(model_refusal(quote! { #[sync(owned, shared)] }), two);
    assert_eq!(model_refusal(quote! { #[sync(link)] #[sync(link)] }), two);
}

#[test]
fn entries_of_a_model_are_checked() {
    let unknown = model_refusal(quote! { #[sync(shared, table = "x")] });
    assert!(unknown.starts_with("a model knows `owned`"), "{unknown}");
    let twice = model_refusal(quote! { #[sync(shared, name = "a", name = "b")] });
    assert_eq!(twice, "`name` is given twice");
    let named = model_refusal(quote! { #[sync(shared, name = "Tag")] });
    assert!(named.starts_with("\"Tag\" cannot name a model or field"), "{named}");
    let large = model_refusal(quote! { #[sync(shared, model_id = 0x1_0000_0000)] });
    assert_eq!(large, "a stable id is a whole number below 2^32");
    let negative = model_refusal(quote! { #[sync(shared, model_id = -1)] });
    assert_eq!(negative, "a stable id is a whole number below 2^32");
}

#[test]
fn indexes_name_fields() {
    let index = |attr| model_refusal(quote! { #[sync(shared, #attr)] });
    assert_eq!(index(quote! { index(colour) }), "there is no field `colour` in this struct");
    assert_eq!(index(quote! { index(name, name) }), "`name` is in this index twice");
    assert_eq!(index(quote! { partial_index() }), "an index needs at least one field");
    assert_eq!(index(quote! { index }), "an index names its fields: `index(a, b)`");
    assert!(index(quote! { index(id) }).starts_with("the key needs no index"));
}

#[test]
fn a_record_has_one_key() {
    let none = field_refusal(quote! { name: String });
    assert!(none.starts_with("a model needs a key"), "{none}");
    let two = field_refusal(quote! { #[sync(id)] a: Uuid, #[sync(id)] b: Uuid, c: i64 });
    assert_eq!(two, "a record has one key; two are marked");
    let ty = field_refusal(quote! { id: i64, name: String });
    assert_eq!(ty, "the key of a record is a `Uuid` or a `RecordKey`");
    let ruled = field_refusal(quote! { #[sync(id, rule = "lww")] key: Uuid, name: String });
    assert_eq!(ruled, "the key is no field of the model: only `id` can stand here");
    let ruled = field_refusal(quote! { #[sync(was = "key")] id: Uuid, name: String });
    assert_eq!(ruled, "the key is no field of the model: only `id` can stand here");
    let hidden = field_refusal(quote! { #[sync(id)] key: Uuid, id: Uuid });
    assert!(hidden.starts_with("\"id\" cannot name a model or field"), "{hidden}");
    assert_eq!(field_refusal(quote! { id: Uuid }), "a model needs a field besides its key");
}

#[test]
fn entries_of_a_field_are_checked() {
    let field = |attr| field_refusal(quote! { id: Uuid, #[sync(#attr)] size: i64 });
    assert!(field(quote! { skip }).starts_with("a field cannot be left out"));
    assert!(field(quote! { column = "x" }).starts_with("a field knows `id`"));
    assert_eq!(
        field(quote! { rule = "sum" }),
        "\"sum\" is no merge rule; there are \"lww\", \"counter\", \"max\", \"min\""
    );
    assert!(field(quote! { ty = "date" }).starts_with("\"date\" is no type of a field; there are"));
    assert_eq!(field(quote! { rule = "max", rule = "min" }), "`rule` is given twice");
    let ids = "`was` and `field_id` both say the stable id; keep one";
    assert_eq!(field(quote! { was = "bytes", field_id = 4 }), ids);
    assert_eq!(field(quote! { field_id = 4, was = "bytes" }), ids);
    assert!(field(quote! { was = "Bytes" }).starts_with("\"Bytes\" cannot name"));
    assert_eq!(
        field(quote! { rule = "max", ty = "time" }),
        "only fields of type \"int\" merge by a rule other than \"lww\""
    );
}

#[test]
fn rules_are_for_shared_models() {
    let counter = |kind| {
        refusal(quote! { #[sync(#kind)] struct Tag { id: Uuid, #[sync(rule = "counter")] n: i64 } })
    };
    let message = "only fields of a `shared` model merge by a rule other than \"lww\"";
    assert_eq!(counter(quote! { owned }), message);
    assert_eq!(counter(quote! { link }), message);
}

#[test]
fn two_fields_never_share_a_name_or_an_id() {
    for fields in [
        quote! { id: Uuid, a: i64, #[sync(name = "a")] b: i64 },
        quote! { id: Uuid, a: i64, #[sync(was = "a")] b: i64 },
        quote! { id: Uuid, #[sync(field_id = 3)] a: i64, #[sync(field_id = 3)] b: i64 },
    ] {
        let message = "this field and `a` share a name or a stable id; give one of them an id of \
                       its own";
        assert_eq!(field_refusal(fields), message);
    }
}
