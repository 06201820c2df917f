//! Writing the implementation.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{DeriveInput, Ident, Result};

use crate::field::{FieldType, Id, KeyType, ModelField};
use crate::model::{Index, Model};

/// The implementation of `schema::Syncable` for the struct, or why it cannot be a model.
pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let model = Model::read(input)?;
    let (ident, root) = (&model.ident, &model.root);
    let checks = model.fields.iter().filter_map(|field| check_type(&model, field));
    let descriptor = descriptor(&model);
    let (key, values, from_values) = (key(&model), values(&model), from_values(&model));
    Ok(quote! {
        #(#checks)*

        #[automatically_derived]
        impl #root::schema::Syncable for #ident {
            fn descriptor() -> #root::schema::ModelDescriptor {
                #descriptor
            }

            fn described() -> ::std::borrow::Cow<'static, #root::schema::ModelDescriptor> {
                static DESCRIBED: ::std::sync::LazyLock<#root::schema::ModelDescriptor> =
                    ::std::sync::LazyLock::new(<#ident as #root::schema::Syncable>::descriptor);
                ::std::borrow::Cow::Borrowed(&*DESCRIBED)
            }

            fn key(&self) -> #root::id::RecordKey {
                #key
            }

            fn values(&self) -> ::std::vec::Vec<#root::value::Value> {
                #values
            }

            fn from_values(
                key: &#root::id::RecordKey,
                values: ::std::vec::Vec<#root::value::Value>,
            ) -> ::core::result::Result<Self, #root::schema::FieldError> {
                #from_values
            }
        }
    })
}

/// A check that only the compiler can do, as it knows the types: the field's values are kept as its
/// `ty` or its rule needs them.
fn check_type(model: &Model, field: &ModelField) -> Option<TokenStream> {
    let (alike, span, message): (&[&str], Span, String) = match &field.kept_as {
        Some((FieldType { variant, alike }, span)) => {
            (alike, *span, format!("this Rust type is not kept in the way of {variant}"))
        }
        None if field.rule.is_lww() => return None,
        None => (&["Int"], field.rule.span, "this merge rule is for whole numbers".to_owned()),
    };
    let (root, ty) = (&model.root, &field.ty);
    let span = here(span);
    let variants = alike.iter().map(|variant| Ident::new(variant, span));
    Some(quote_spanned! {span=>
        const _: () = ::core::assert!(
            ::core::matches!(
                <#ty as #root::schema::FieldValue>::TYPE,
                #(#root::schema::FieldType::#variants)|*
            ),
            #message
        );
    })
}

/// The place `span`, with names found as everywhere else in the implementation: the words of a
/// struct that another macro wrote would see no `self` of ours.
fn here(span: Span) -> Span {
    span.resolved_at(Span::call_site())
}

fn descriptor(model: &Model) -> TokenStream {
    let (root, name) = (&model.root, &model.name);
    let kind = Ident::new(model.kind, Span::call_site());
    let id = match model.id {
        Some(number) => quote! { #root::schema::ModelId(#number) },
        None => quote! { #root::schema::ModelId::of(#name) },
    };
    let fields = model.fields.iter().map(|field| field_descriptor(model, field));
    let indexes = model.indexes.iter().map(|index| index_descriptor(model, index));
    quote! {
        #root::schema::ModelDescriptor {
            id: #id,
            name: ::std::string::String::from(#name),
            kind: #root::schema::ModelKind::#kind,
            fields: ::std::vec![#(#fields),*],
            indexes: ::std::vec![#(#indexes),*],
        }
    }
}

fn field_descriptor(model: &Model, field: &ModelField) -> TokenStream {
    let (root, name, rust) = (&model.root, &field.name, &field.ty);
    let id = match &field.id {
        Id::Number(number) => quote! { #root::schema::FieldId(#number) },
        Id::Name(name) => quote! { #root::schema::FieldId::of(#name) },
    };
    let span = here(rust.span());
    let ty = match &field.kept_as {
        Some((FieldType { variant, .. }, _)) => {
            let variant = Ident::new(variant, Span::call_site());
            quote! { #root::schema::FieldType::#variant }
        }
        None => quote_spanned! {span=> <#rust as #root::schema::FieldValue>::TYPE },
    };
    let nullable = quote_spanned! {span=> <#rust as #root::schema::FieldValue>::NULLABLE };
    let rule = Ident::new(field.rule.variant, Span::call_site());
    quote! {
        #root::schema::FieldDescriptor {
            id: #id,
            name: ::std::string::String::from(#name),
            ty: #ty,
            rule: #root::schema::MergeRule::#rule,
            nullable: #nullable,
        }
    }
}

fn index_descriptor(model: &Model, index: &Index) -> TokenStream {
    let (root, columns, partial) = (&model.root, &index.columns, index.partial);
    quote! {
        #root::schema::IndexDescriptor {
            columns: ::std::vec![#(::std::string::String::from(#columns)),*],
            partial: #partial,
        }
    }
}

fn key(model: &Model) -> TokenStream {
    let (root, ident) = (&model.root, &model.key.ident);
    match model.key.ty {
        KeyType::Uuid => quote! { #root::id::RecordKey::from(self.#ident) },
        KeyType::RecordKey => quote! { ::core::clone::Clone::clone(&self.#ident) },
    }
}

fn values(model: &Model) -> TokenStream {
    let root = &model.root;
    let values = model.fields.iter().map(|ModelField { ident, ty, .. }| {
        quote_spanned! {here(ty.span())=> <#ty as #root::schema::FieldValue>::to_value(&self.#ident) }
    });
    quote! { ::std::vec![#(#values),*] }
}

fn from_values(model: &Model) -> TokenStream {
    let (root, name, count) = (&model.root, &model.name, model.fields.len());
    let expected = format!("record of {count} field{}", if count == 1 { "" } else { "s" });
    let slots: Vec<Ident> = (0..count).map(|at| format_ident!("value_{at}")).collect();
    let fields = model.fields.iter().zip(&slots).map(|(field, slot)| {
        let ModelField { ident, ty, name, .. } = field;
        quote_spanned! {here(ty.span())=>
            #ident: <#ty as #root::schema::FieldValue>::read(#name, #slot)?
        }
    });
    let key = read_key(model);
    quote! {
        let [#(#slots),*] = <[#root::value::Value; #count] as ::core::convert::TryFrom<_>>::try_from(values).map_err(|values| {
            #root::schema::FieldError {
                field: ::std::string::String::from(#name),
                expected: #expected,
                found: ::std::format!("{} values", values.len()),
            }
        })?;
        ::core::result::Result::Ok(Self { #key, #(#fields),* })
    }
}

fn read_key(model: &Model) -> TokenStream {
    let (root, ident) = (&model.root, &model.key.ident);
    match model.key.ty {
        KeyType::RecordKey => quote! { #ident: ::core::clone::Clone::clone(key) },
        KeyType::Uuid => quote! {
            #ident: key.uuid().ok_or_else(|| #root::schema::FieldError {
                field: ::std::string::String::from("id"),
                expected: "UUID of 16 bytes",
                found: ::std::string::ToString::to_string(key),
            })?
        },
    }
}
