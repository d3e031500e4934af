#pragma once

#include "server/api/fields/field.h"

// The fields of every route that takes a JSON body: name, type, range, default. The one place where
// they are written down.
namespace saccade::api {

extern const FieldTable kGenerationFields;  // chat and completions
extern const FieldTable kForeignFields;     // of other servers, on these routes; foreign_fields.cc
extern const FieldTable kChatFields;
extern const FieldTable kTemplateFields;  // of routes that render messages
extern const FieldTable kCompletionFields;
extern const FieldTable kScoreFields;
extern const FieldTable kEmbeddingsFields;
extern const FieldTable kTokenizeFields;
extern const FieldTable kDetokenizeFields;

extern const FieldTable kResponsesFields;
extern const FieldTable kResponsesItemFields;
extern const FieldTable kResponsesPartFields;
extern const FieldTable kTextFormatFields;
extern const FieldTable kMessagesFields;  // Anthropic's API
extern const FieldTable kOutputFormatFields;
extern const FieldTable kMessageFields;
extern const FieldTable kMessageBlockFields;
extern const FieldTable kMessageSourceFields;
extern const FieldTable kDocumentSourceFields;

extern const FieldTable kChatMessageFields;
extern const FieldTable kToolCallFields;
extern const FieldTable kToolFields;
extern const FieldTable kTextPartFields;
extern const FieldTable kRefusalPartFields;
extern const FieldTable kImagePartFields;
extern const FieldTable kImageDetailFields;  // beside a URL that is a plain string
extern const FieldTable kFilePartFields;     // {"image_file": {"file_id"}}
extern const FieldTable kFileFields;
extern const FieldTable kFileContentPartFields;  // {"file": ...}

}  // namespace saccade::api
